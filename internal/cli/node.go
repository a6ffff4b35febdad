package cli

import (
	"strings"
	"unicode/utf8"
)

// node is a line of a tree. The cells of siblings are written one below the other.
type node struct {
	cells []string
	kids  []*node
}

func (n *node) add(kid *node) {
	if kid != nil {
		n.kids = append(n.kids, kid)
	}
}

func (n *node) String() string {
	var b strings.Builder
	b.WriteString(line(n.cells, nil) + "\n")
	n.draw(&b, "")
	return b.String()
}

func (n *node) draw(b *strings.Builder, indent string) {
	var widths []int
	for _, kid := range n.kids {
		for i, cell := range kid.cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if i < len(kid.cells)-1 { // what stands last in its line needs no room
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
	}
	for i, kid := range n.kids {
		branch, below := "├─ ", "│  "
		if i == len(n.kids)-1 {
			branch, below = "└─ ", "   "
		}
		b.WriteString(indent + branch + line(kid.cells, widths) + "\n")
		kid.draw(b, indent+below)
	}
}

// line joins cells, each padded to its width.
func line(cells []string, widths []int) string {
	var b strings.Builder
	for i, cell := range cells {
		if i > 0 {
			b.WriteString("  ")
		}
		b.WriteString(cell)
		if i < len(widths) && i < len(cells)-1 {
			b.WriteString(strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell))))
		}
	}
	return strings.TrimRight(b.String(), " ")
}
