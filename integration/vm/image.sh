# The machine's images: root.img (Debian with the packages of the list), vmlinuz and initrd. Sourced by run and
# shell. Each is cached by a hash of what goes in, in two layers, so that a changed configuration file costs a
# second and only a changed package list costs a debootstrap.

# hash FILE ...: of the names, modes and contents of these files and of all that lies under these folders.
hash() {
    (cd "$here" && find "$@" -printf '%p %m %l\n' | LC_ALL=C sort && find "$@" -type f -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum) | sha256sum | cut -c 1-16
}

# Sets root_folder (root.img, vmlinuz, modules) and initrd, and builds what isn't there.
images() {
    root_folder=$cache/root-$(hash packages tree)
    initrd=$cache/initrd-$(hash packages tree initrd overlay)
    [ -e "$initrd" ] && [ -e "$root_folder" ] && return
    mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ] ||
        stop "the cache folder '$cache' isn't yours to write to; run this as root"
    # Two runs at a time build one after the other, and the second one finds what the first one built.
    exec 8>"$cache/lock"
    flock 8
    [ -e "$root_folder" ] || build_root
    [ -e "$initrd" ] || build_initrd
    exec 8>&-
}

# The lines of a sources.list for Debian's own archive, wherever this host's apt finds it.
archive() {
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' 'Origin: Debian' 2>/dev/null |
        sed -nE '/ bookworm main$/p; / bookworm-(security|updates) main$/p' | LC_ALL=C sort -u -k 3
}

build_root() {
    need debootstrap=debootstrap mke2fs=e2fsprogs unshare=util-linux dpkg-deb=dpkg apt-get=apt \
        /usr/share/keyrings/debian-archive-keyring.gpg=debian-archive-keyring
    [ "$(id -u)" = 0 ] || stop "the file system can only be built by root; run this once as root"
    [ "$(dpkg --print-architecture)" = amd64 ] || stop "the machine is built on amd64 only"
    local began=$SECONDS folder
    say "building the root file system (once; the log is $cache/build.log)"
    folder=$(mktemp -d "$cache/tmp.XXXXXX")
    leftovers+=("$folder")
    # In a mount and process namespace of its own: however this ends, no mount and no process stays.
    archive | unshare --mount --propagation private --pid --fork --kill-child \
        "$here/tree" "$folder" "$cache/debs" >"$cache/build.log" 2>&1 ||
        stop "building the root file system failed: $(tail -n 1 "$cache/build.log"); the whole log is $cache/build.log"
    modules "$folder"
    # No journal: what the machine writes is thrown away. Room and inodes for images; the file is sparse.
    truncate -s 6G "$folder/root.img"
    mke2fs -q -t ext4 -O ^has_journal -m 0 -i 8192 -E lazy_itable_init=1 -d "$folder/root" "$folder/root.img"
    rm -r "$folder/root"
    mv "$folder" "$root_folder"
    prune root-
    say "built in $((SECONDS - began)) s, $(du -sm "$root_folder" | cut -f 1) MiB"
}

# modules FOLDER: what the initrd takes from the tree: busybox, and the kernel modules in their order of loading.
modules() {
    local module
    mkdir -p "$1/initrd/bin" "$1/initrd/modules"
    cp "$1/root/bin/busybox" "$1/initrd/bin/"
    for module in virtio_pci virtio_blk virtio_console ext4; do
        chroot "$1/root" modprobe --set-version "$(ls "$1/root/usr/lib/modules")" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r module; do
        cp "$1/root$module" "$1/initrd/modules/"
        echo "/modules/${module##*/}" >>"$1/initrd/modules/order"
    done
}

build_initrd() {
    local folder
    folder=$(mktemp -d "$cache/tmp.XXXXXX")
    leftovers+=("$folder")
    cp -a "$root_folder/initrd" "$folder/initrd"
    cp -a "$here/initrd/init" "$here/overlay" "$folder/initrd/"
    mkdir "$folder/initrd/dev" "$folder/initrd/proc" "$folder/initrd/root"
    ln -s busybox "$folder/initrd/bin/sh"
    chown -hR 0:0 "$folder/initrd" 2>/dev/null || true
    # Not compressed: unpacking would cost the machine more than reading does.
    (cd "$folder/initrd" && find . | bin/busybox cpio -o -H newc 2>/dev/null) >"$folder/cpio"
    mv "$folder/cpio" "$initrd"
    rm -r "$folder"
    prune initrd-
}

# prune PREFIX: of what was built before, the newest other one stays; switching between two branches is cheap.
prune() {
    ls -td "$cache/$1"* | tail -n +3 | xargs -r rm -r
}
