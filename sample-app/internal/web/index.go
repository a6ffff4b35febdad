package web

import (
	_ "embed"
	"html/template"
	"maps"
	"net/http"
	"slices"

	"github.com/scalableapp/scalableapp-operator/sample-app/internal/cache"
)

//go:embed index.html
var indexHTML string

var indexPage = template.Must(template.New("index").Funcs(template.FuncMap{
	"euros": func(cents int64) float64 { return float64(cents) / 100 },
}).Parse(indexHTML))

type cartRow struct {
	Product  string
	Quantity int
}

// index is a page for a person: who answers, who is logged in, and the shop in small. It stands whatever is lost.
func (s *Server) index(w http.ResponseWriter, r *http.Request) error {
	visitor, problem := s.visitorIfAny(w, r)
	products, _, err := cache.Get(r.Context(), s.Cache, "catalogue:v1", s.Store.Products)
	if err != nil {
		_, body := describe(err)
		problem += " " + body["error"]
	}
	var cart []cartRow
	for _, id := range slices.Sorted(maps.Keys(visitor.Cart)) {
		cart = append(cart, cartRow{id, visitor.Cart[id]})
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")
	w.Header().Set("Cache-Control", "no-store")
	return indexPage.Execute(w, map[string]any{
		"Version": s.Config.Version, "Revision": s.Config.Revision, "Pod": s.Config.Pod,
		"User": visitor.User, "Cart": cart, "Products": products, "Problem": problem, "Sessions": s.Sessions != nil,
	})
}
