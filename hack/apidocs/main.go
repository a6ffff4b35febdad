// Command apidocs writes the reference of the API from the comments and markers of its Go types:
// go run ./hack/apidocs api/v1alpha1 >docs/api.md
//
// It is a program of our own because the ones there are leave out the CEL rules, and with them what a
// refusal says, which is what most readers of a reference look for.
package main

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const head = `# API reference

Generated from ` + "`api/v1alpha1`" + ` by ` + "`make generate`" + `; edit the comments there. ` +
	"`kubectl explain scalableapp.spec`" + ` tells the same.
A rule in quotes is what the API server answers to an object that breaks it.
`

// kubernetes is where the types of Kubernetes are described.
const kubernetes = "https://kubernetes.io/docs/reference/kubernetes-api/"

// external are the types from elsewhere, with the page that describes them.
var external = map[string]string{
	"corev1.EnvVar":                                 "workload-resources/pod-v1/#environment-variables",
	"corev1.EnvFromSource":                          "workload-resources/pod-v1/#environment-variables",
	"corev1.ResourceRequirements":                   "workload-resources/pod-v1/#resources",
	"corev1.LocalObjectReference":                   "common-definitions/local-object-reference/",
	"autoscalingv2.HorizontalPodAutoscalerBehavior": "workload-resources/horizontal-pod-autoscaler-v2/#HorizontalPodAutoscalerSpec",
	"metav1.ObjectMeta":                             "common-definitions/object-meta/",
	"metav1.Condition":                              "",
	"metav1.Time":                                   "",
	"resource.Quantity":                             "common-definitions/quantity/",
	"intstr.IntOrString":                            "",
	"apiextensionsv1.JSON":                          "",
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: apidocs FOLDER")
		os.Exit(2)
	}
	types, err := read(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "apidocs:", err)
		os.Exit(1)
	}
	out := bufio.NewWriter(os.Stdout)
	write(out, types)
	if err := out.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, "apidocs:", err)
		os.Exit(1)
	}
}

// kind is one type of the API.
type kind struct {
	name   string
	doc    string
	rules  []string
	fields []field
	root   bool
}

type field struct {
	name, goType, doc, fallback string
	required                    bool
	rules                       []string
}

// read finds the types in the order in which the files define them, and the root kinds first.
func read(folder string) ([]kind, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return nil, err
	}
	var kinds []kind
	for _, name := range files {
		if strings.HasPrefix(filepath.Base(name), "zz_generated") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, decl := range file.Decls {
			if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.TYPE {
				for _, spec := range d.Specs {
					kinds = append(kinds, newKind(d, spec.(*ast.TypeSpec)))
				}
			}
		}
	}
	kinds = slices.DeleteFunc(kinds, func(k kind) bool { return strings.HasSuffix(k.name, "List") })
	return inOrder(kinds), nil
}

// inOrder sorts the types as a reader meets them: each after the one that first uses it.
func inOrder(kinds []kind) []kind {
	var ordered []kind
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		at := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
		if at < 0 || seen[name] {
			return
		}
		seen[name] = true
		ordered = append(ordered, kinds[at])
		for _, f := range kinds[at].fields {
			visit(element(f.goType))
		}
	}
	for _, k := range kinds {
		if k.root {
			visit(k.name)
		}
	}
	return ordered
}

func newKind(decl *ast.GenDecl, spec *ast.TypeSpec) kind {
	doc, markers := split(decl.Doc)
	k := kind{name: spec.Name.Name, doc: doc, rules: rules(markers)}
	_, k.root = find(markers, "kubebuilder:object:root")
	structure, ok := spec.Type.(*ast.StructType)
	if !ok {
		return k
	}
	for _, f := range structure.Fields.List {
		name := jsonName(f)
		if name == "" {
			continue
		}
		doc, markers := split(f.Doc)
		fallback, _ := find(markers, "kubebuilder:default")
		_, required := find(markers, "required")
		k.fields = append(k.fields, field{
			name: name, goType: typeName(f.Type), doc: doc,
			fallback: strings.Trim(fallback, `"`), required: required, rules: rules(markers),
		})
	}
	return k
}

func jsonName(f *ast.Field) string {
	if f.Tag == nil {
		return ""
	}
	tag := regexp.MustCompile(`json:"([^",]*)`).FindStringSubmatch(f.Tag.Value)
	if tag == nil {
		return ""
	}
	return tag[1]
}

// split parts a comment into its text and its markers.
func split(comment *ast.CommentGroup) (doc string, markers []string) {
	if comment == nil {
		return "", nil
	}
	var text []string
	for _, line := range comment.List {
		content := strings.TrimSpace(strings.TrimPrefix(line.Text, "//"))
		if marker, ok := strings.CutPrefix(content, "+"); ok {
			markers = append(markers, marker)
		} else {
			text = append(text, content)
		}
	}
	return strings.TrimSpace(strings.Join(text, " ")), markers
}

func find(markers []string, name string) (value string, ok bool) {
	for _, m := range markers {
		if m == name {
			return "", true
		}
		if value, ok := strings.CutPrefix(m, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

var message = regexp.MustCompile(`message=("(?:[^"\\]|\\.)*")`)

// rules are what markers demand, in words.
func rules(markers []string) []string {
	var out []string
	for _, m := range markers {
		name, value, _ := strings.Cut(m, "=")
		switch strings.TrimPrefix(name, "kubebuilder:validation:") {
		case "XValidation:rule":
			if text := message.FindStringSubmatch(m); text != nil {
				if plain, err := strconv.Unquote(text[1]); err == nil {
					out = append(out, "“"+plain+"”")
				}
			}
		case "Enum":
			out = append(out, "one of "+strings.ReplaceAll(value, ";", ", "))
		case "Minimum":
			out = append(out, "at least "+value)
		case "Maximum":
			out = append(out, "at most "+value)
		case "MinLength", "MinItems", "MinProperties":
			if value != "1" {
				out = append(out, "at least "+value+" "+counted(name))
			} else {
				out = append(out, "not empty")
			}
		case "MaxLength", "MaxItems", "MaxProperties":
			out = append(out, "at most "+value+" "+counted(name))
		case "Pattern":
			out = append(out, "matches "+value)
		}
	}
	return out
}

func counted(marker string) string {
	switch {
	case strings.HasSuffix(marker, "Length"):
		return "characters"
	case strings.HasSuffix(marker, "Items"):
		return "items"
	default:
		return "entries"
	}
}

func typeName(expr ast.Expr) string {
	switch t := expr.(type) {
	case *ast.StarExpr:
		return typeName(t.X)
	case *ast.ArrayType:
		return "[]" + typeName(t.Elt)
	case *ast.MapType:
		return "map[" + typeName(t.Key) + "]" + typeName(t.Value)
	case *ast.SelectorExpr:
		return typeName(t.X) + "." + t.Sel.Name
	case *ast.Ident:
		return t.Name
	default:
		return "?"
	}
}

// element is the type that a list or map holds.
func element(goType string) string {
	goType = strings.TrimPrefix(goType, "[]")
	if i := strings.Index(goType, "]"); strings.HasPrefix(goType, "map[") && i > 0 {
		return goType[i+1:]
	}
	return goType
}

func write(out io.Writer, kinds []kind) {
	fmt.Fprint(out, head)
	for _, k := range kinds {
		fmt.Fprintf(out, "\n## %s\n\n%s\n", k.name, k.doc)
		if users := usedIn(kinds, k.name); len(users) > 0 {
			fmt.Fprintf(out, "\nUsed in: %s\n", strings.Join(users, ", "))
		}
		if len(k.rules) > 0 {
			fmt.Fprint(out, "\nRules:\n\n")
			for _, rule := range k.rules {
				fmt.Fprintf(out, "- %s\n", rule)
			}
		}
		if len(k.fields) == 0 {
			continue
		}
		fmt.Fprint(out, "\n| Field | Type | Default | Meaning and rules |\n| --- | --- | --- | --- |\n")
		for _, f := range k.fields {
			writeField(out, kinds, f)
		}
	}
}

func writeField(out io.Writer, kinds []kind, f field) {
	fallback := ""
	switch {
	case f.required:
		fallback = "required"
	case f.fallback != "" && f.fallback != "{}":
		fallback = "`" + f.fallback + "`"
	}
	text := f.doc
	if len(f.rules) > 0 {
		text += "<br>_" + strings.Join(f.rules, "; ") + "_"
	}
	fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", f.name, link(kinds, f.goType), fallback, strings.ReplaceAll(text, "|", `\|`))
}

func usedIn(kinds []kind, name string) []string {
	var users []string
	for _, k := range kinds {
		for _, f := range k.fields {
			if element(f.goType) == name {
				users = append(users, fmt.Sprintf("[%s](#%s).%s", k.name, strings.ToLower(k.name), f.name))
			}
		}
	}
	return users
}

// link is a type as a reader of YAML sees it.
func link(kinds []kind, goType string) string {
	inner := element(goType)
	text := inner
	switch {
	case slices.ContainsFunc(kinds, func(k kind) bool { return k.name == inner }):
		text = fmt.Sprintf("[%s](#%s)", inner, strings.ToLower(inner))
	case strings.Contains(inner, "."):
		page, known := external[inner]
		if !known {
			panic("apidocs: say in external where " + inner + " is described")
		}
		text = inner[strings.Index(inner, ".")+1:]
		if page != "" {
			text = fmt.Sprintf("[%s](%s%s)", text, kubernetes, page)
		}
	case strings.HasPrefix(inner, "int"):
		text = "integer"
	case inner == "bool":
		text = "boolean"
	}
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "list of " + text
	case strings.HasPrefix(goType, "map["):
		return "map to " + text
	default:
		return text
	}
}
