# What the host must have. Sourced by run and shell; says in one line what to install when something is missing.

# Debian puts some of these where only root looks.
PATH=$PATH:/usr/sbin:/sbin

# say WORDS: one line to the person, apart from what the command inside prints.
say() {
    echo "vm: $*" >&2
}

# stop WORDS: the same, and the end. 125 is none of the command's codes (timeout and env use it likewise).
stop() {
    say "$*"
    exit 125
}

# need TOOL=PACKAGE ...: every TOOL, a command or an absolute path, is there.
need() {
    local pair missing=()
    for pair in "$@"; do
        case $pair in
        /*) [ -e "${pair%=*}" ] || missing+=("${pair#*=}") ;;
        *) type -P "${pair%=*}" >/dev/null || missing+=("${pair#*=}") ;;
        esac
    done
    ((${#missing[@]} == 0)) ||
        stop "tools are missing; install them with: apt-get install $(printf '%s\n' "${missing[@]}" | sort -u | tr '\n' ' ')"
}
