package components

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

const (
	poolerFile      = "pgbouncer.ini"
	poolerUsersFile = "userlist.txt"
	// poolerDrainFile is the image's: its entrypoint writes it when the pod is to end.
	poolerDrainFile = poolerRunDir + "/drain.ini"

	// lookupDatabase is the pooler's own way into the database postgres, where pooler_lookup is.
	lookupDatabase = "pooler_auth"
	lookupQuery    = "SELECT username, password FROM scalableapp.pooler_lookup($1)"
)

// PoolerDatabase is the name under which the poolers offer the app's database.
const PoolerDatabase = postgresDatabase

// PoolerAddress is the console of a pooler's pod as HOST:PORT, or empty while it does not run. That of one which
// is about to end is there, too: it has clients still.
func PoolerAddress(pod *corev1.Pod) string {
	runs := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.ContainersReady && c.Status == corev1.ConditionTrue
	})
	ip, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil || !runs {
		return ""
	}
	return netip.AddrPortFrom(ip, postgresPort).String()
}

// PoolerCredentials is where the password of the poolers' console is.
func PoolerCredentials(app *v1alpha1.ScalableApp) action.SecretKey {
	return action.SecretKey{Name: naming.DatabaseCredentials(app), Key: keyPoolerAdminPassword}
}

// poolerUsers is userlist.txt, or empty while the passwords are not there. The app's users are not in it: the
// poolers ask the database, so a password that is exchanged is exchanged for them, too.
func poolerUsers(in Input) string {
	password := secretValue(in, naming.DatabaseCredentials(in.App), keyPoolerPassword)
	admin := secretValue(in, naming.DatabaseCredentials(in.App), keyPoolerAdminPassword)
	if password == "" || admin == "" {
		return ""
	}
	users := fmt.Sprintf("%q %q\n%q %q\n", poolerRole, password, poolerAdmin, admin)
	if stats := secretValue(in, naming.DatabaseCredentials(in.App), keyPoolerStatsPassword); stats != "" {
		users += fmt.Sprintf("%q %q\n", poolerStats, stats)
	}
	return users
}

func poolerConfig(in Input, kind string) Object {
	return Object{Intent: corev1ac.ConfigMap(naming.Pooler(in.App, kind), in.App.Namespace).
		WithLabels(poolerLabels(in, kind)).
		WithOwnerReferences(owner(in.App)).
		WithData(map[string]string{poolerFile: pgbouncerINI(in, kind)})}
}

type setting struct{ name, value string }

// pgbouncerINI is pgbouncer.ini.
func pgbouncerINI(in Input, kind string) string {
	pooler := in.App.Spec.Database.Postgres.Pooler
	host, wait := naming.DatabaseReadWrite(in.App), "30"
	if kind == naming.PoolerReadOnly {
		// Who reads can read from the primary instead, and should learn soon that it has to.
		host, wait = naming.DatabaseReadOnly(in.App), "5"
	}
	address := fmt.Sprintf("host=%s port=%d", serviceHost(in.App, host), postgresPort)
	size := fmt.Sprint(poolSize(pooler))
	settings := []setting{
		{"listen_addr", "*"}, {"listen_port", fmt.Sprint(postgresPort)}, {"unix_socket_dir", poolerRunDir},
		{"auth_type", "scram-sha-256"}, {"auth_file", poolerDir + "/" + poolerUsersFile},
		{"auth_user", poolerRole}, {"auth_query", lookupQuery}, {"auth_dbname", lookupDatabase},
		{"admin_users", poolerAdmin}, {"stats_users", poolerStats},
		{"pool_mode", "transaction"},
		// A pool is of one database and user; the bound is over the users.
		{"default_pool_size", size}, {"max_db_connections", size},
		{"max_client_conn", fmt.Sprint(poolerClients(pooler))},
		{"max_prepared_statements", "200"},
		// JDBC says it on every connection, and it makes no difference.
		{"ignore_startup_parameters", "extra_float_digits"},
		// A primary that comes back is found at once, not after 15 s.
		{"server_login_retry", "0.2"}, {"server_connect_timeout", "3"},
		// No pool stays with a server for long that it should have left, whatever else fails.
		{"server_fast_close", "1"}, {"server_lifetime", "600"}, {"server_idle_timeout", "120"},
		{"server_check_query", "SELECT 1"}, {"server_check_delay", "5"},
		// A node that fell silent is given up within 15 s.
		{"tcp_keepalive", "1"}, {"tcp_keepidle", "5"}, {"tcp_keepintvl", "3"}, {"tcp_keepcnt", "3"}, {"tcp_user_timeout", "12000"},
		// How long a statement waits for a connection: through a failover.
		{"query_wait_timeout", wait}, {"client_login_timeout", "30"},
		{"idle_transaction_timeout", idleTransactionTimeout(in)},
		{"log_connections", "0"}, {"log_disconnections", "0"}, {"stats_period", "600"},
	}
	settings = append(settings, poolerTLS(in)...)
	var b strings.Builder
	b.WriteString("; Written by scalableapp-operator; changes are undone.\n[databases]\n")
	fmt.Fprintf(&b, "%s = %s dbname=%s\n", PoolerDatabase, address, postgresDatabase)
	fmt.Fprintf(&b, "%s = %s dbname=postgres pool_size=%d max_db_connections=%d\n",
		lookupDatabase, address, lookupConnections, lookupConnections)
	b.WriteString("\n[pgbouncer]\n")
	for _, s := range settings {
		fmt.Fprintf(&b, "%s = %s\n", s.name, s.value)
	}
	fmt.Fprintf(&b, "%%include %s\n", poolerDrainFile)
	return b.String()
}

// idleTransactionTimeout ends a transaction that its client has forgotten: it would keep a connection, of
// which there are few. The user's own setting for it, which the server carries out, goes first.
func idleTransactionTimeout(in Input) string {
	if _, set := userParameters(in.App.Spec.Database.Postgres)["idle_in_transaction_session_timeout"]; set {
		return "0"
	}
	return "60"
}

// poolerTLS are the settings for TLS on both sides. Without certificates there is none, as without a pooler.
func poolerTLS(Input) []setting {
	return []setting{{"client_tls_sslmode", "disable"}, {"server_tls_sslmode", "disable"}}
}
