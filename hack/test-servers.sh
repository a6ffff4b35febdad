#!/usr/bin/env bash
# Installs the servers that tests run privately, each in a folder of its own: redis-server and PostgreSQL for
# the sample app's, PgBouncer for the consoles of poolers, Prometheus for the gates', the exporter of Redis, python3
# with psycopg2 and pgBackRest for the programs of the operand images, from Debian's packages. Does nothing where they are.
. "$(dirname "$0")/env.sh"

have_postgres() { command -v postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }
if command -v redis-server >/dev/null && command -v pgbouncer >/dev/null && command -v prometheus >/dev/null &&
    [ -x /usr/bin/python3 ] && /usr/bin/python3 -c 'import psycopg2' 2>/dev/null &&
    command -v prometheus-redis-exporter >/dev/null && command -v pgbackrest >/dev/null && have_postgres; then exit; fi

# The packages would start their services; only the programs are wanted.
policy=/usr/sbin/policy-rc.d
if ! [ -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
say 'installing redis-server, its exporter, postgresql, pgbackrest, pgbouncer, prometheus and python3 with psycopg2 for the tests'
apt-get -o DPkg::Lock::Timeout=300 update -q
DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -qy --no-install-recommends redis-server prometheus-redis-exporter postgresql pgbackrest pgbouncer prometheus python3 python3-psycopg2
