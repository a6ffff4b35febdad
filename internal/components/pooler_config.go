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

	lookupQuery = "SELECT username, password FROM scalableapp.pooler_lookup($1)"
)

const (
	// PoolerDatabase is the name under which the poolers offer the app's database.
	PoolerDatabase = postgresDatabase
	// PoolerLookup is the poolers' own way into the database postgres, where pooler_lookup is.
	PoolerLookup = "pooler_auth"
	// PoolerWay is a way to the same server for the operator, which looks where it leads while the others are
	// paused. Its connection stands in for theirs, which are closed then, so it is not counted.
	PoolerWay = "pooler_way"
)

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

// PrimaryTerm is what the poolers are told: the primary and the number of the change that made it one, out of
// Patroni's leader record. It is empty while there is none.
func PrimaryTerm(record *corev1.ConfigMap, primary string) string {
	if record == nil || primary == "" {
		return ""
	}
	return fmt.Sprintf("primary %s term %s", primary, record.Annotations["transitions"])
}

// PoolerCredentials is where the password of the poolers' console is.
func PoolerCredentials(app *v1alpha1.ScalableApp) action.SecretKey {
	return action.SecretKey{Name: naming.DatabaseCredentials(app), Key: keyPoolerAdminPassword}
}

// PoolerLogin is the user that the poolers are to the database, and where its password is.
func PoolerLogin(app *v1alpha1.ScalableApp) (user string, password action.SecretKey) {
	return poolerRole, action.SecretKey{Name: naming.DatabaseCredentials(app), Key: keyPoolerPassword}
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
		{"auth_user", poolerRole}, {"auth_query", lookupQuery}, {"auth_dbname", PoolerLookup},
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
	for _, name := range []string{PoolerLookup, PoolerWay} {
		fmt.Fprintf(&b, "%s = %s dbname=postgres pool_size=%d max_db_connections=%d\n", name, address, lookupConnections, lookupConnections)
	}
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

// poolerTLS are the settings for TLS on both sides. Clients may ask for it. The database has to show that it is
// the one that is meant, once all of its members can. Where the files are not there yet PgBouncer goes on with
// what it had, and reads them with the next change of its volume.
func poolerTLS(in Input) []setting {
	if len(poolerPair(in)) == 0 {
		return []setting{{"client_tls_sslmode", "disable"}, {"server_tls_sslmode", "disable"}}
	}
	server := "prefer"
	if membersTLS(in) {
		server = "verify-full"
	}
	file := func(key string) string { return poolerDir + "/" + key }
	return []setting{
		{"client_tls_sslmode", "allow"}, {"client_tls_ca_file", file(keyAuthority)},
		{"client_tls_cert_file", file(keyTLSCertificate)}, {"client_tls_key_file", file(keyTLSKey)},
		{"server_tls_sslmode", server}, {"server_tls_ca_file", file(keyAuthority)},
	}
}
