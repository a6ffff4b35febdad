package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// calm is how long changes are gathered before they are shown: a rollout makes many at once.
const calm = 200 * time.Millisecond

// watchable are the kinds of children that are watched, each with the list that it is drawn from. Only
// what the user may list is watched: a watch that is refused would be tried for ever.
func watchable(hidden []string) (objects []client.Object, lists []client.ObjectList) {
	kinds := []client.Object{&corev1.Pod{}, &appsv1.Deployment{}, &appsv1.ControllerRevision{}, &autoscalingv2.HorizontalPodAutoscaler{}}
	for i, list := range shown() {
		if !slices.Contains(hidden, kindOf(list)) {
			objects, lists = append(objects, kinds[i]), append(lists, list)
		}
	}
	return objects, lists
}

// watch shows the apps as they change, until it is interrupted or the one app is gone.
func (o *options) watch(ctx context.Context, s *session, name string) error {
	first, err := s.sights(ctx, name) // so that what cannot be done is said before anything is watched
	if err != nil {
		return err
	}
	var hidden []string
	if len(first) > 0 {
		hidden = first[0].hidden
	}
	children, lists := watchable(hidden)
	watcher, changes, refused, err := s.follow(ctx, name, children)
	if err != nil {
		return err
	}
	show := o.shower(s.namespace == "")
	seconds := time.NewTicker(time.Second)
	defer seconds.Stop()
	for {
		sights, err := look(ctx, watcher, s.namespace, name, lists)
		if err != nil {
			return err
		}
		for i := range sights {
			sights[i].hidden = hidden
		}
		show(sights)
		var tick <-chan time.Time
		if o.terminal() != nil && slices.ContainsFunc(sights, countsDown) {
			tick = seconds.C
		}
		if name != "" && len(sights) == 0 {
			fmt.Fprintf(o.streams.Out, "%s is gone\n", name)
			return nil
		}
		select {
		case <-ctx.Done():
			return nil // the person has seen enough
		case err := <-refused:
			return err
		case <-tick:
			continue
		case <-changes:
		}
		time.Sleep(calm)
		select {
		case <-changes: // it is in what is shown next
		default:
		}
	}
}

// follow watches the apps and the given kinds of children. A value in changes says that something has
// changed.
func (s *session) follow(ctx context.Context, name string, children []client.Object) (client.Reader, <-chan struct{}, <-chan error, error) {
	changes, refused := make(chan struct{}, 1), make(chan error, 1)
	ours := labels.Set{naming.LabelManagedBy: naming.ManagedBy}
	app := cache.ByObject{}
	if name != "" {
		ours[naming.LabelInstance] = name
		app.Field = fields.OneTermEqualSelector("metadata.name", name)
	}
	byObject := map[client.Object]cache.ByObject{&v1alpha1.ScalableApp{}: app}
	for _, object := range children {
		byObject[object] = cache.ByObject{Label: labels.SelectorFromSet(ours)}
	}
	options := cache.Options{Scheme: scheme, Mapper: s.mapper, ByObject: byObject,
		DefaultWatchErrorHandler: func(_ context.Context, _ *toolscache.Reflector, err error) {
			if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || unknownKind(err) {
				notify(refused, err) // all else passes: the reflector tries again
			}
		}}
	if s.namespace != "" {
		options.DefaultNamespaces = map[string]cache.Config{s.namespace: {}}
	}
	watcher, err := cache.New(s.config, options)
	if err != nil {
		return nil, nil, nil, err
	}
	changed := func(any) { notify(changes, struct{}{}) }
	for _, object := range append(children, &v1alpha1.ScalableApp{}) {
		informer, err := watcher.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, nil, nil, err
		}
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: changed, UpdateFunc: func(_, after any) { changed(after) }, DeleteFunc: changed,
		})
		if err != nil {
			return nil, nil, nil, err
		}
	}
	go func() {
		if err := watcher.Start(ctx); err != nil { // it also ends, with nil, when the context does
			notify(refused, err)
		}
	}()
	synced := make(chan bool, 1)
	go func() { synced <- watcher.WaitForCacheSync(ctx) }()
	select {
	case err := <-refused:
		return nil, nil, nil, err
	case ok := <-synced:
		if !ok {
			if err := ctx.Err(); errors.Is(err, context.DeadlineExceeded) {
				return nil, nil, nil, err
			}
			return nil, nil, nil, errors.New("interrupted")
		}
	}
	return byName{watcher, name}, changes, refused, nil
}

// byName reads from a cache that holds only the app of that name: a cache knows no field selectors.
type byName struct {
	client.Reader
	name string
}

// List leaves out the selection of a name, because the watch has made it already.
func (r byName) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	kept := slices.DeleteFunc(slices.Clone(options), func(option client.ListOption) bool {
		_, isField := option.(client.MatchingFields)
		return isField
	})
	return r.Reader.List(ctx, list, kept...)
}

func notify[T any](channel chan T, value T) {
	select {
	case channel <- value:
	default: // one is waiting already, which is enough
	}
}

// terminal is the output, if it is a terminal.
func (o *options) terminal() *os.File {
	if file, ok := o.streams.Out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return file
	}
	return nil
}

// shower shows trees: in place on a terminal, as lines elsewhere.
func (o *options) shower(withNamespace bool) func([]sight) {
	if file := o.terminal(); file != nil {
		last := ""
		return func(sights []sight) {
			width, height, err := term.GetSize(int(file.Fd()))
			if err != nil {
				width, height = 80, 24
			}
			if now := screen(trees(sights, withNamespace), width, height); now != last {
				fmt.Fprint(o.streams.Out, now)
				last = now
			}
		}
	}
	return lines(o.streams.Out, withNamespace)
}

func trees(sights []sight, withNamespace bool) string {
	var all []string
	for _, s := range sights {
		all = append(all, tree(s, withNamespace))
	}
	return strings.Join(all, "\n")
}

// screen draws a text over the one before: from the top left corner, cut to the terminal's height. Long
// lines are broken here, because one that the terminal breaks would move all that stands below it.
func screen(text string, width, height int) string {
	var rows []string
	for row := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		runes := []rune(row)
		for len(runes) > width && width > 10 {
			rows = append(rows, string(runes[:width]))
			runes = append([]rune("    "), runes[width:]...)
		}
		rows = append(rows, string(runes))
	}
	if len(rows) > height-1 {
		more := len(rows) - (height - 2)
		rows = append(rows[:max(0, height-2)], fmt.Sprintf("… %d more lines", more))
	}
	var b strings.Builder
	b.WriteString("\x1b[H")
	for _, row := range rows {
		b.WriteString(row + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	return b.String()
}

// lines prints one line for each change of an app that a person would want to see.
func lines(out io.Writer, withNamespace bool) func([]sight) {
	last := map[string]string{}
	return func(sights []sight) {
		for _, s := range sights {
			name := s.app.Name
			if withNamespace {
				name = s.app.Namespace + "/" + name
			}
			text := oneLine(s)
			if last[name] != text {
				last[name] = text
				fmt.Fprintf(out, "%s  %s  %s\n", time.Now().Format(time.TimeOnly), name, text)
			}
		}
	}
}

// oneLine is an app in a line: its revisions, where its rollout stands, then how it is. What changes with
// the time alone is left out.
func oneLine(s sight) string {
	var parts []string
	for _, r := range revisionsOf(s) {
		parts = append(parts, fmt.Sprintf("%s %d: %d/%d%s", r.role, r.number, r.available, r.wanted,
			strings.TrimRight(", "+strings.TrimSpace(r.weight), ", ")))
	}
	if r := s.app.Status.Rollout; r.Candidate != nil && r.Steps > 1 {
		parts = append(parts, fmt.Sprintf("step %d/%d", r.Step, r.Steps))
	}
	for _, gate := range s.app.Status.Rollout.Gates {
		parts = append(parts, "gate "+gate.Name+" "+gate.Verdict)
	}
	return strings.Join(append(parts, headline(s.app)), " | ")
}
