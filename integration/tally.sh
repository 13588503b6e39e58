# Runs suites and keeps the score: which ran where, with what counts, for how long. Sourced by run and machine-suites.
# A suite is any command that ends its output with "N passed, N failed, N skipped"; rows collects a line for each one:
# NAME, WHERE, PASSED, FAILED, SKIPPED, SECONDS, ok or FAILED, with tabs between. What a suite that failed said of it is
# kept in rows.failures, so that the end of a long run tells it once more.

# suite ROWS WHERE NAME COMMAND...: runs it, prints what it prints as it comes, and adds its row. Fails as it does.
suite() {
    local rows=$1 where=$2 name=$3 since=$SECONDS output verdict=ok code
    shift 3
    output=$(mktemp)
    echo "== $name, $where"
    # the suite's own code, not tee's; both streams, since many tell a failure on stderr
    { code=0; "$@" 2>&1 || code=$?; echo "$code" >"$output.code"; } | tee "$output"
    code=$(<"$output.code")
    [ "$code" = 0 ] || verdict=FAILED
    local counts
    counts=$(awk '/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped/ { p += $1; f += $3; s += $5; seen = 1 }
        END { if (seen) printf "%d\t%d\t%d", p, f, s }' "$output")
    # Without a score nothing was shown, whatever the exit code says.
    [ -n "$counts" ] || { counts=$'0\t0\t0' verdict=FAILED; [ "$code" != 0 ] || code=1; }
    [ $verdict = ok ] || failures "$name, $where" "$output" >>"$rows.failures"
    rm -f "$output" "$output.code"
    echo "== $name, $where: $verdict after $((SECONDS - since)) s"
    printf '%s\t%s\t%s\t%s\t%s\n' "$name" "$where" "$counts" "$((SECONDS - since))" "$verdict" >>"$rows"
    return "$code"
}

# failures TITLE OUTPUT: the lines of the output that tell a failure, each with the two behind it; its end where none does.
failures() {
    echo "-- $1"
    local telling='^FAIL|panicked at|^test .* FAILED$|^error|^[^ ]*: line [0-9]+: '
    if grep -Eq "$telling" "$2"; then
        grep -E -A2 "$telling" "$2" | head -n 60
    else
        tail -n 20 "$2"
    fi
}

# one COMMAND...: makes a suite of one case out of a command that only passes or fails.
one() {
    if "$@"; then
        echo "1 passed, 0 failed, 0 skipped"
    else
        echo "0 passed, 1 failed, 0 skipped"
        return 1
    fi
}

# idle_wrapper FOLDER: a wrapper that changes nothing (the bare runtime in its place) has to fail in the suites of that
# folder: else nothing was shown.
idle_wrapper() {
    local said
    if said=$("$1/suites" run doors --only 'the image puts alice into 50000' --runtime runc --entries shim \
        --product "$(PATH=$PATH:/usr/sbin:/sbin command -v runc)" 2>&1); then
        echo "the suites passed a wrapper that changes nothing" >&2
        return 1
    fi
    grep '^FAIL doors' <<<"$said"
}

# scores ROWS: prints all rows as a table, with a sum, and behind it what failed.
scores() {
    awk -F'\t' '
        function line(a, b, c, d, e, f, g) { printf "%-42s %-30s %7s %7s %8s %8s  %s\n", a, b, c, d, e, f, g }
        BEGIN { line("suite", "where", "passed", "failed", "skipped", "seconds", "") }
        { line($1, $2, $3, $4, $5, $6, $7); p += $3; f += $4; s += $5 }
        END { line("all", "", p, f, s, "", "") }' "$1"
    [ ! -s "$1.failures" ] || { echo "== what failed"; cat "$1.failures"; }
}
