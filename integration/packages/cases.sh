# How a test is told: a function whose name is a sentence. Sourced by deb, rpm and built.
failures=0
tests=0

# expect WHAT GOT WANTED: notes a difference.
expect() {
    [ "$2" = "$3" ] || differences+=("$1: got '$2', wanted '$3'")
}

# expect_text TEXT PART: the text has the part.
expect_text() {
    case $1 in
    *"$2"*) ;;
    *) differences+=("no '$2' in '$(tail -c 600 <<<"$1")'") ;;
    esac
}

# check NAME: runs the function NAME and prints it as a sentence.
check() {
    local differences=()
    "$1"
    tests=$((tests + 1))
    if ((${#differences[@]} == 0)); then
        echo "ok    ${1//_/ }"
    else
        failures=$((failures + 1))
        echo "FAIL  ${1//_/ }"
        printf '      %s\n' "${differences[@]}"
    fi
}

# finish NAME: the last line; fails if a test did.
finish() {
    echo "$1: $((tests - failures)) passed, $failures failed"
    ((failures == 0))
}
