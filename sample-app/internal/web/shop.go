package web

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/cache"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/session"
	"github.com/scalableapp/scalableapp-operator/sample-app/internal/store"
)

const (
	cookieName = "session"
	// guest orders where no session store is configured: the shop sells all the same.
	guest     = "guest"
	maxName   = 64
	maxKey    = 128
	maxOrders = 100
)

// login starts a session for the user named; a sample needs no password.
func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	var request struct {
		User string `json:"user"`
	}
	if isJSON(r) {
		if err := readJSON(w, r, &request); err != nil {
			return err
		}
	} else {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		request.User = r.PostFormValue("user")
	}
	request.User = strings.TrimSpace(request.User)
	if request.User == "" || len(request.User) > maxName {
		return failure(http.StatusBadRequest, "user: want 1 to 64 characters")
	}
	id, err := s.Sessions.Create(r.Context(), request.User)
	if err != nil {
		return err
	}
	s.setCookie(w, r, id, int(s.Sessions.TTL().Seconds()))
	return done(w, r, map[string]string{"user": request.User})
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	if id := sessionID(r); id != "" {
		if err := s.Sessions.Delete(r.Context(), id); err != nil {
			return err
		}
	}
	s.setCookie(w, r, "", -1)
	return done(w, r, map[string]string{})
}

// setCookie sends the session's id: out of reach for scripts and, where the client came by TLS, for plain HTTP.
func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, id string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: id, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	})
}

func sessionID(r *http.Request) string {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// visitor finds the session of the request and lets its cookie live on with it.
func (s *Server) visitor(w http.ResponseWriter, r *http.Request) (string, session.Session, error) {
	id := sessionID(r)
	found, err := s.Sessions.Get(r.Context(), id)
	if err != nil {
		return "", session.Session{}, err
	}
	s.setCookie(w, r, id, int(s.Sessions.TTL().Seconds()))
	return id, found, nil
}

func (s *Server) getCart(w http.ResponseWriter, r *http.Request) error {
	_, visitor, err := s.visitor(w, r)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"user": visitor.User, "items": visitor.Cart})
	return nil
}

// setCart puts a quantity of a product into the cart; 0 takes it out.
func (s *Server) setCart(w http.ResponseWriter, r *http.Request) error {
	id, visitor, err := s.visitor(w, r)
	if err != nil {
		return err
	}
	request := struct {
		Item     string `json:"item"`
		Quantity int    `json:"quantity"`
	}{Quantity: 1}
	if isJSON(r) {
		if err := readJSON(w, r, &request); err != nil {
			return err
		}
	} else {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		request.Item = r.PostFormValue("item")
		if text := r.PostFormValue("quantity"); text != "" {
			if request.Quantity, err = strconv.Atoi(text); err != nil {
				return failure(http.StatusBadRequest, "quantity: want a whole number")
			}
		}
	}
	if request.Item == "" || len(request.Item) > maxName || request.Quantity < 0 || request.Quantity > 1000 {
		return failure(http.StatusBadRequest, "want item, and quantity from 0 to 1000")
	}
	if err := s.Sessions.SetItem(r.Context(), id, request.Item, request.Quantity); err != nil {
		return err
	}
	if request.Quantity == 0 {
		delete(visitor.Cart, request.Item)
	} else {
		visitor.Cart[request.Item] = request.Quantity
	}
	return done(w, r, map[string]any{"user": visitor.User, "items": visitor.Cart})
}

// placeOrder orders the items of the body, or the cart when the body names none.
func (s *Server) placeOrder(w http.ResponseWriter, r *http.Request) error {
	var request struct {
		Items map[string]int `json:"items"`
	}
	if isJSON(r) {
		if err := readJSON(w, r, &request); err != nil {
			return err
		}
	}
	id, user := "", guest
	if s.Sessions != nil {
		var visitor session.Session
		var err error
		if id, visitor, err = s.visitor(w, r); err != nil {
			return err
		}
		user = visitor.User
		if len(request.Items) == 0 {
			request.Items = visitor.Cart
		} else {
			id = "" // the cart stays
		}
	}
	key := r.Header.Get("Idempotency-Key")
	if len(key) > maxKey {
		return failure(http.StatusBadRequest, "Idempotency-Key: want at most 128 characters")
	}
	if key == "" {
		key = rand.Text() // our own retries need one
	}
	order, created, err := s.Store.PlaceOrder(r.Context(), user, key, request.Items)
	if err != nil {
		return err
	}
	if id != "" {
		if err := s.Sessions.RemoveItems(r.Context(), id, request.Items); err != nil {
			s.Log.Warn("the order is made, but its cart is not emptied", "error", err.Error())
		}
	}
	status := http.StatusOK
	if created {
		s.Metrics.OrdersMade.Inc()
		status = http.StatusCreated
	}
	if fromForm(r) {
		return done(w, r, nil)
	}
	writeJSON(w, status, order)
	return nil
}

func (s *Server) listOrders(w http.ResponseWriter, r *http.Request) error {
	user := guest
	if s.Sessions != nil {
		_, visitor, err := s.visitor(w, r)
		if err != nil {
			return err
		}
		user = visitor.User
	}
	limit := 20
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxOrders {
			return failure(http.StatusBadRequest, "limit: want 1 to 100")
		}
		limit = n
	}
	orders, err := s.Store.Orders(r.Context(), user, limit)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"user": user, "orders": orders})
	return nil
}

func (s *Server) listProducts(w http.ResponseWriter, r *http.Request) error {
	products, outcome, err := cache.Get(r.Context(), s.Cache, "catalogue:v1", s.Store.Products)
	if err != nil {
		return err
	}
	w.Header().Set("X-Cache", outcome)
	writeJSON(w, http.StatusOK, map[string]any{"products": products})
	return nil
}

func (s *Server) getProduct(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if len(id) > maxName {
		return store.ErrNotFound
	}
	product, outcome, err := cache.Get(r.Context(), s.Cache, "product:v1:"+id,
		func(ctx context.Context) (store.Product, error) { return s.Store.Product(ctx, id) })
	if err != nil {
		return err
	}
	w.Header().Set("X-Cache", outcome)
	writeJSON(w, http.StatusOK, product)
	return nil
}

// fromForm tells a browser's form from a program.
func fromForm(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
}

// done answers a program with JSON and sends a browser back to the page.
func done(w http.ResponseWriter, r *http.Request, body any) error {
	if fromForm(r) {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	writeJSON(w, http.StatusOK, body)
	return nil
}

// visitorIfAny is for the page, which also strangers see, and which stands when the session store is lost.
func (s *Server) visitorIfAny(w http.ResponseWriter, r *http.Request) (visitor session.Session, problem string) {
	if s.Sessions == nil || sessionID(r) == "" {
		return session.Session{}, ""
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Second) // a person looks at the page meanwhile
	defer cancel()
	_, visitor, err := s.visitor(w, r.WithContext(ctx))
	if err != nil && !errors.Is(err, session.ErrNone) {
		s.Log.Warn("page without session", "error", err.Error())
		return session.Session{}, "The session store does not answer."
	}
	return visitor, ""
}
