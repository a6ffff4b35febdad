// Package store keeps the shop's products and orders in PostgreSQL.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/db"
)

// Errors that are the caller's doing.
var (
	ErrNotFound    = errors.New("no such product")
	ErrKeyReused   = errors.New("this idempotency key was used for a different order")
	ErrEmptyOrder  = errors.New("nothing is ordered")
	ErrBadQuantity = errors.New("a quantity must be from 1 to 1000")
)

// Variables that name the databases in messages.
const (
	writeVariable = "DATABASE_URL"
	readVariable  = "DATABASE_RO_URL"
)

// Product is one thing for sale.
type Product struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	PriceCents  int64  `json:"priceCents"`
}

// Line is one product of an order.
type Line struct {
	ProductID  string `json:"productId"`
	Quantity   int    `json:"quantity"`
	PriceCents int64  `json:"priceCents"`
}

// Order is what somebody bought.
type Order struct {
	ID         int64     `json:"id"`
	TotalCents int64     `json:"totalCents"`
	CreatedAt  time.Time `json:"createdAt"`
	Lines      []Line    `json:"lines"`
}

// Store writes to the primary and reads what may lag from replicas. Either may be nil: not configured.
type Store struct {
	Write *db.DB
	Read  *db.Reader
}

// Products lists the catalogue.
func (s Store) Products(ctx context.Context) (products []Product, err error) {
	err = s.Read.Do(ctx, readVariable, func(ctx context.Context, pool *pgxpool.Pool) error {
		rows, err := pool.Query(ctx, "SELECT id, name, description, price_cents FROM products ORDER BY name")
		if err != nil {
			return err
		}
		products, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Product])
		return err
	})
	return products, err
}

// Product finds one product. ErrNotFound: there is none.
func (s Store) Product(ctx context.Context, id string) (product Product, err error) {
	err = s.Read.Do(ctx, readVariable, func(ctx context.Context, pool *pgxpool.Pool) error {
		rows, err := pool.Query(ctx, "SELECT id, name, description, price_cents FROM products WHERE id = $1", id)
		if err != nil {
			return err
		}
		product, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Product])
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	return product, err
}

// Orders lists the user's newest orders, from the primary: who has just ordered looks for the order here, and a
// replica may lack it for a moment.
func (s Store) Orders(ctx context.Context, user string, limit int) (orders []Order, err error) {
	err = s.Write.Do(ctx, writeVariable, func(ctx context.Context, pool *pgxpool.Pool) error {
		rows, err := pool.Query(ctx, `
			SELECT o.id, o.total_cents, o.created_at,
			       (SELECT json_agg(json_build_object('productId', l.product_id, 'quantity', l.quantity,
			                                          'priceCents', l.price_cents) ORDER BY l.product_id)
			          FROM order_lines l WHERE l.order_id = o.id)
			  FROM orders o WHERE o.user_name = $1 ORDER BY o.id DESC LIMIT $2`, user, limit)
		if err != nil {
			return err
		}
		orders, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Order])
		return err
	})
	return orders, err
}

// CheckItems tells whether the items can be ordered at all.
func CheckItems(items map[string]int) error {
	if len(items) == 0 {
		return ErrEmptyOrder
	}
	for id, quantity := range items {
		if quantity < 1 || quantity > 1000 {
			return fmt.Errorf("%s: %w", id, ErrBadQuantity)
		}
	}
	return nil
}

// PlaceOrder makes an order, once for each key: the same key again gives the order that is there, so that
// neither a client's retry nor ours, after an answer was lost in a failover, buys twice.
func (s Store) PlaceOrder(ctx context.Context, user, key string, items map[string]int) (order Order, created bool, err error) {
	if err := CheckItems(items); err != nil {
		return Order{}, false, err
	}
	err = s.Write.Do(ctx, writeVariable, func(ctx context.Context, pool *pgxpool.Pool) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			order, created, err = place(ctx, tx, user, key, items)
			return err
		})
	})
	return order, created, err
}

func place(ctx context.Context, tx pgx.Tx, user, key string, items map[string]int) (Order, bool, error) {
	ids := slices.Sorted(maps.Keys(items))
	order, err := price(ctx, tx, ids, items)
	if err != nil {
		return Order{}, false, err
	}
	hash := requestHash(ids, items)
	err = tx.QueryRow(ctx, `
		INSERT INTO orders (user_name, idempotency_key, request_hash, total_cents) VALUES ($1, $2, $3, $4)
		ON CONFLICT (user_name, idempotency_key) DO NOTHING RETURNING id, created_at`,
		user, key, hash, order.TotalCents).Scan(&order.ID, &order.CreatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		existing, err := placed(ctx, tx, user, key, hash)
		return existing, false, err
	}
	if err != nil {
		return Order{}, false, err
	}
	for _, line := range order.Lines {
		if _, err := tx.Exec(ctx, "INSERT INTO order_lines (order_id, product_id, quantity, price_cents) VALUES ($1, $2, $3, $4)",
			order.ID, line.ProductID, line.Quantity, line.PriceCents); err != nil {
			return Order{}, false, err
		}
	}
	return order, true, nil
}

func price(ctx context.Context, tx pgx.Tx, ids []string, items map[string]int) (Order, error) {
	rows, err := tx.Query(ctx, "SELECT id, price_cents FROM products WHERE id = ANY($1) ORDER BY id", ids)
	if err != nil {
		return Order{}, err
	}
	var order Order
	var id string
	var cents int64
	_, err = pgx.ForEachRow(rows, []any{&id, &cents}, func() error {
		order.Lines = append(order.Lines, Line{ProductID: id, Quantity: items[id], PriceCents: cents})
		order.TotalCents += cents * int64(items[id])
		return nil
	})
	if err == nil && len(order.Lines) != len(ids) {
		err = ErrNotFound
	}
	return order, err
}

// placed finds the order that the key made before.
func placed(ctx context.Context, tx pgx.Tx, user, key, hash string) (Order, error) {
	var order Order
	var was string
	err := tx.QueryRow(ctx, "SELECT id, total_cents, created_at, request_hash FROM orders WHERE user_name = $1 AND idempotency_key = $2",
		user, key).Scan(&order.ID, &order.TotalCents, &order.CreatedAt, &was)
	if err != nil {
		return Order{}, err
	}
	if was != hash {
		return Order{}, ErrKeyReused
	}
	rows, err := tx.Query(ctx, "SELECT product_id, quantity, price_cents FROM order_lines WHERE order_id = $1 ORDER BY product_id", order.ID)
	if err != nil {
		return Order{}, err
	}
	order.Lines, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Line])
	return order, err
}

func requestHash(ids []string, items map[string]int) string {
	sum := sha256.New()
	for _, id := range ids {
		_, _ = fmt.Fprintf(sum, "%q %d\n", id, items[id])
	}
	return hex.EncodeToString(sum.Sum(nil))
}
