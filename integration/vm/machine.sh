# The machine itself: one QEMU process, without a network, whose disks are thrown away. Sourced by run.

hardware=(-machine q35 -smp "${VM_CPUS:-2}" -nodefaults -no-user-config -no-reboot -nic none)

# probe ARGUMENT...: what a machine with this accelerator says that only loads the initrd and ends.
probe() {
    timeout --kill-after=1 10 qemu-system-x86_64 "$@" "${hardware[@]}" -m 512 -display none -serial stdio \
        -kernel "$root_folder/vmlinuz" -initrd "$initrd" -append "console=ttyS0 vm.probe" </dev/null 2>&1 || true
}

# accelerator: sets accel, QEMU's arguments, and words, the kernel's. KVM where it really works, which only a
# try can tell; software emulation elsewhere. The answer is kept until the host boots again.
accelerator() {
    local known
    known=$cache/kvm-$(tr -d - </proc/sys/kernel/random/boot_id)
    if [ -w /dev/kvm ] && [ ! -e "$known" ]; then
        rm -f "$cache"/kvm-*
        if [[ $(probe -accel kvm -cpu host) == *"initrd: it works"* ]]; then
            echo yes >"$known"
        else
            echo no >"$known"
        fi
    fi
    if [ -w /dev/kvm ] && [ "$(<"$known")" = yes ]; then
        accel=(-accel kvm -cpu host)
        words=
    else
        # Code that lies at the same place in each process is translated once, and not again for each one:
        # a program starts in 6 ms in place of 22. A kernel that trusted the TSC once ran its clock 35 times too fast
        # on a busy host. Without erms and fsrm memory is cleared and copied by words, and not byte by byte.
        accel=(-accel tcg,thread=multi -cpu max,-erms,-fsrm)
        words="norandmaps tsc=unstable"
    fi
}

# machine WORK LIMIT ARGUMENT...: boots with the disk WORK/carried.img and waits until the machine is off, LIMIT
# seconds at most. Its console goes to WORK/console.log and what it tells the host to WORK/result.
machine() {
    local work=$1 limit=$2 accel words
    shift 2
    accelerator
    # snapshot=on: what is written to the root disk goes to a nameless file in TMPDIR.
    TMPDIR=$work timeout --kill-after=5 --foreground "$limit" \
        qemu-system-x86_64 "${accel[@]}" "${hardware[@]}" -m "${VM_MEMORY:-2560}" -display none \
        -kernel "$root_folder/vmlinuz" -initrd "$initrd" \
        -append "console=ttyS0 panic=-1 quiet mitigations=off random.trust_cpu=on systemd.getty_auto=no $words" \
        -drive "file=$root_folder/root.img,format=raw,if=virtio,snapshot=on" \
        -drive "file=$work/carried.img,format=raw,if=virtio,cache=unsafe" \
        -chardev "file,id=console,path=$work/console.log" -serial chardev:console \
        -chardev "file,id=result,path=$work/result" -device virtio-serial \
        -device virtserialport,chardev=result,name=result "$@" <&0 &
    machine_pid=$!
    wait "$machine_pid"
}
