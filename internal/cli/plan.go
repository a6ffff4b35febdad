package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/plan"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
	"github.com/scalableapp/scalableapp-operator/internal/state"
)

func (o *options) planCommand() *cobra.Command {
	var files []string
	var recursive bool
	sources := &genericclioptions.FileNameFlags{
		Usage: "File, directory or URL with ScalableApps; - reads the input.", Filenames: &files, Recursive: &recursive,
	}
	command := &cobra.Command{
		Use:   "plan -f FILE",
		Short: "Show what a file would change, and which steps would follow, without changing anything",
		Long: `Show what a file would change, and which steps would follow, without changing anything.

The API server does all but store the ScalableApps in the file (a dry run, so that defaults and rules
hold), and the operator's own core decides here what it would do first. If a rollout would begin, its
steps follow, with their weights, pauses, gates and approvals. ConfigMaps in the file
that an app refers to count as applied; all else in it is left alone. Values that may be secret are
never shown.

What the operator sees is read with your rights; what you may not read is said.

Exit codes:
  0  nothing would change
  1  it could not be found out, or the API server would refuse the file
  2  something would change`,
		Example: `  kubectl scalableapp plan -f shop.yaml
  kustomize build . | kubectl scalableapp plan -f -`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, _ []string) error {
			if len(files) == 0 {
				return errors.New("plan needs a file: -f FILE")
			}
			return o.plan(command.Context(), sources)
		},
	}
	sources.AddFlags(command.Flags())
	return command
}

func (o *options) plan(ctx context.Context, sources *genericclioptions.FileNameFlags) error {
	s, err := o.connect()
	if err != nil {
		return err
	}
	file, err := o.readFile(s, sources)
	if err != nil {
		return err
	}
	if len(file.apps) == 0 {
		return errors.New("the file holds no ScalableApp")
	}
	p := &planner{session: s, reader: &tolerant{Reader: s}, configs: map[types.NamespacedName]*state.Config{}}
	for _, config := range file.configs {
		if err := p.takeConfig(ctx, config); err != nil {
			return err
		}
	}
	changes := false
	for i, app := range file.apps {
		if i > 0 {
			fmt.Fprintln(o.streams.Out)
		}
		text, changed, err := p.forecast(ctx, app)
		if err != nil {
			return err
		}
		fmt.Fprint(o.streams.Out, text)
		changes = changes || changed
	}
	for _, note := range p.reader.notes {
		fmt.Fprintln(o.streams.ErrOut, "note:", note)
	}
	if changes {
		return exitError(ExitChanges)
	}
	return nil
}

// planner forecasts what the operator would do.
type planner struct {
	*session
	reader *tolerant
	// configs are the ConfigMaps as the file would make them.
	configs map[types.NamespacedName]*state.Config
}

func (p *planner) takeConfig(ctx context.Context, object *unstructured.Unstructured) error {
	key := client.ObjectKeyFromObject(object)
	_, after, err := p.dryRun(ctx, object)
	if err != nil {
		return err
	}
	config := &corev1.ConfigMap{}
	if err := convert(after, config); err != nil {
		return err
	}
	p.configs[key] = &state.Config{Data: config.Data, BinaryData: config.BinaryData}
	return nil
}

// moment is an app before or after the file is applied, with what the operator would decide.
type moment struct {
	app    *v1alpha1.ScalableApp
	seen   *state.Observed
	wanted revision.Revision
	plan   plan.Plan
}

// forecast says what the file would change about one app. The operator's next step is decided twice, with
// and without the file, so that what differs is the file's doing and nothing else's.
func (p *planner) forecast(ctx context.Context, object *unstructured.Unstructured) (string, bool, error) {
	live, applied, err := p.dryRun(ctx, object)
	if err != nil {
		return "", false, err
	}
	after := &moment{app: &v1alpha1.ScalableApp{}}
	if err := convert(applied, after.app); err != nil {
		return "", false, err
	}
	if after.seen, err = p.observe(ctx, after.app); err != nil {
		return "", false, err
	}
	config := p.operatorConfig(ctx, after)
	var before *moment
	if live != nil {
		before = &moment{app: &v1alpha1.ScalableApp{}}
		if err := convert(live, before.app); err != nil {
			return "", false, err
		}
		if before.seen, err = p.observe(ctx, before.app); err != nil {
			return "", false, err
		}
		before.seen.Now, before.seen.Entropy = after.seen.Now, after.seen.Entropy
		if err := before.decide(config); err != nil {
			return "", false, err
		}
	}
	for _, name := range revision.ConfigNames(&after.app.Spec.App) {
		if c := p.configs[types.NamespacedName{Namespace: after.app.Namespace, Name: name}]; c != nil {
			after.seen.Config[name] = c
		}
	}
	if err := after.decide(config); err != nil {
		return "", false, err
	}
	f := &forecast{before: before, after: after, live: live, applied: applied}
	if err := f.compare(); err != nil {
		return "", false, err
	}
	f.conflicts = p.conflicts(ctx, f)
	return f.text(), f.changed(), nil
}

func (m *moment) decide(config plan.Config) error {
	var err error
	if m.wanted, err = revision.Of(m.app, m.seen.Config); err != nil {
		return err
	}
	m.plan = plan.Build(m.app, m.seen, config)
	return nil
}

// operatorConfig is what the operator adds to its decisions, as far as it can be seen in what it made:
// its flags are not the user's to read. What cannot be seen is the same before and after, so it makes no
// difference.
func (p *planner) operatorConfig(ctx context.Context, m *moment) plan.Config {
	config := plan.Config{Images: components.Images{Postgres: "postgres", Redis: "redis"}}
	image := func(name, otherwise string) string {
		if set := m.seen.StatefulSet(name); set != nil && len(set.Spec.Template.Spec.Containers) > 0 {
			return set.Spec.Template.Spec.Containers[0].Image
		}
		return otherwise
	}
	config.Images.Postgres = image(naming.Database(m.app), config.Images.Postgres)
	config.Images.Redis = image(naming.Sessions(m.app), image(naming.Cache(m.app), config.Images.Redis))
	policies := &networkingv1.NetworkPolicyList{}
	if p.reader.List(ctx, policies, client.InNamespace(m.app.Namespace), client.MatchingLabels{naming.LabelInstance: m.app.Name}) != nil {
		return config
	}
	for _, policy := range policies.Items {
		for _, rule := range policy.Spec.Ingress {
			for _, peer := range rule.From {
				if peer.NamespaceSelector != nil {
					config.OperatorNamespace = peer.NamespaceSelector.MatchLabels[corev1.LabelMetadataName]
				}
			}
		}
	}
	return config
}

// conflicts are the objects that would be made and whose names others have taken.
func (p *planner) conflicts(ctx context.Context, f *forecast) map[string]string {
	out := map[string]string{}
	for _, c := range f.objects {
		if c.verb != verbCreate {
			continue
		}
		found := &metav1.PartialObjectMetadata{}
		found.SetGroupVersionKind(schema.FromAPIVersionAndKind(c.id.APIVersion, c.id.Kind))
		err := p.Get(ctx, types.NamespacedName{Namespace: c.id.Namespace, Name: c.id.Name}, found)
		if err != nil || f.after.app.UID != "" && metav1.IsControlledBy(found, f.after.app) {
			continue // it is free, or ours, or nobody can tell
		}
		owner := "somebody else"
		if o := metav1.GetControllerOf(found); o != nil {
			owner = o.Kind + " " + o.Name
		}
		out[c.id.Kind+"/"+c.id.Name] = owner
	}
	return out
}

// tolerant reads with the user's rights; what is forbidden is noted and counts as not there.
type tolerant struct {
	client.Reader
	notes []string
}

// Get reads one object.
func (t *tolerant) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	err := t.Reader.Get(ctx, key, object, options...)
	if apierrors.IsForbidden(err) {
		t.note(err)
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	return err
}

// List reads several objects.
func (t *tolerant) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	err := t.Reader.List(ctx, list, options...)
	if apierrors.IsForbidden(err) {
		t.note(err)
		return nil
	}
	return err
}

func (t *tolerant) note(err error) {
	text := strings.TrimSpace(err.Error()) + "; the forecast is made as if there were none"
	if !slices.Contains(t.notes, text) {
		t.notes = append(t.notes, text)
	}
}
