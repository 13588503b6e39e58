# The second disk: takes the carried files and the command in, and the results out. Sourced by run. Nothing is
# mounted on the host: mke2fs fills it and debugfs reads it.

# disk WORK FILE[:NAME]...: makes WORK/carried.img of these and of the folder WORK/vm, with room for results.
disk() {
    local work=$1 pair file name tree=$1/disk
    shift
    mkdir -p "$tree/results"
    mv "$work/vm" "$tree/.vm"
    for pair in "$@"; do
        file=${pair%%:*}
        name=${file##*/}
        [ "$file" = "$pair" ] || name=${pair#*:}
        [ -e "$file" ] || stop "--in: there is no file '$file'"
        [[ -n $name && /$name/ != */../* && $name != /* ]] || stop "--in: '$name' isn't a name below the carried files"
        [ ! -e "$tree/$name" ] || stop "--in: '$name' is carried twice, or is taken"
        mkdir -p "$(dirname "$tree/$name")"
        cp -rL --preserve=mode,timestamps "$file" "$tree/$name"
    done
    # No journal, so that what the machine syncs stands where debugfs reads it. The file is sparse.
    truncate -s "$(($(du -sm "$tree" | cut -f 1) * 5 / 4 + 512))M" "$work/carried.img"
    mke2fs -q -t ext4 -O ^has_journal -m 0 -E lazy_itable_init=1 -d "$tree" "$work/carried.img"
    rm -r "$tree"
}

# bring_out WORK OUT: results come to OUT/results, and the journal to OUT, when the machine wrote one.
bring_out() {
    local work=$1 out=$2
    mkdir -p "$out"
    # debugfs tells of a file that isn't there, and of owners that only root can set, on its error stream
    debugfs -R "rdump /results $work" "$work/carried.img" >/dev/null 2>&1 || true
    debugfs -R "dump /.vm/journal.log $work/journal.log" "$work/carried.img" >/dev/null 2>&1 || true
    [ ! -s "$work/journal.log" ] || mv "$work/journal.log" "$out/journal.log"
    rmdir "$work/results" 2>/dev/null || [ ! -d "$work/results" ] || mv "$work/results" "$out/results"
}
