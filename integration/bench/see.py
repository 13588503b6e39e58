#!/usr/bin/env python3
"""see.py PRODUCT [LINES]: what it costs to see. As root.

- `audit --gid` over LINES generated lines (ten million unless told), in MB of raw log per second: a gid that few
  lines have, one that every tenth line has, and none.
- how long `audit --follow` takes to show a line.
- `whoami --all` over 1,000 containers: seconds, and the peak of its memory in MB.

Everything lies in a private folder and a private mount namespace, and goes away with the run.
"""
import json, os, subprocess, sys, tempfile, time

CONTAINERS = 1000


def line(n):
    """One line as runc-strict writes it; every tenth has gid 7000, every hundred thousandth has gid 50000."""
    extra = [7000] if n % 10 == 0 else [50000] if n % 100_000 == 1 else [60000]
    second = n // 1000
    stamp = f"2026-11-{1 + second // 86400:02}T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}"
    rulings = [{"gid": 1000, "origins": ["primary"], "kept": True, "rule": "primary"}]
    rulings += [{"gid": 3000, "origins": [{"image": "staff"}], "kept": False, "rule": "from-image"}]
    rulings += [{"gid": gid, "origins": ["declared"], "kept": True, "rule": "declared"} for gid in extra]
    return json.dumps({
        "v": 1, "time": f"{stamp}.{n % 1000:03}000Z", "command": "exec" if n % 4 else "create",
        "container": f"{n // 50:064x}", "root": "/run/containerd/runc/k8s.io", "engine": "containerd",
        "pod": {"namespace": f"user-{n % 40}", "name": f"web-{n % 400}", "container": "nginx"},
        "verdict": "change", "uid": 1000, "gid": 1000, "before": [1000, 3000] + extra, "after": [1000] + extra,
        "level": "groups", "rulings": rulings, "findings": [], "duration_us": 900 + n % 100,
        "runtime": "runc 1.3.0"}, separators=(",", ":")) + "\n"


def generate(path, lines):
    """Python writes 100,000 different lines; further blocks are the same ones with another day."""
    block = "".join(line(n) for n in range(100_000)).encode()
    with open(path, "wb") as log:
        for n in range(lines // 100_000):
            log.write(block.replace(b"2026-11-01", b"2026-%02d-%02d" % (1 + n // 28 % 12, 1 + n % 28)))


def timed(words):
    """Seconds and lines of output, best of three: the first run may read from the disk."""
    best = None
    for _ in range(3):
        start = time.monotonic()
        out = subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout
        took = time.monotonic() - start
        best = min(best or took, took)
    return best, out.count(b"\n")


def search(product, folder, lines):
    log = f"{folder}/log/runc-strict.log"
    generate(log, lines)
    size = os.path.getsize(log) / 1e6
    for gid, what in [(50000, "rare"), (7000, "one in ten"), (12345, "none")]:
        took, found = timed([product, "audit", "--gid", str(gid), "--json"])
        print(f"audit --gid, {what}: {found} of {lines} lines in {took:.2f} s, {size / took:.0f} MB/s")
    took, found = timed([product, "audit", "--since", "2026-12-20", "--denied"])
    print(f"audit --since --denied, none: {took:.2f} s, {size / took:.0f} MB/s")
    subprocess.run(["truncate", "--size=0", log], check=True)


def follow(product, folder):
    log = f"{folder}/log/runc-strict.log"
    child = subprocess.Popen([product, "audit", "--follow", "--json"], stdout=subprocess.PIPE)
    # It shows nothing until it watches; lines are written until the first one comes back.
    os.set_blocking(child.stdout.fileno(), False)
    n = 0
    while not child.stdout.read():
        n += 1
        with open(log, "a") as out:
            out.write(line(n))
        time.sleep(0.05)
    os.set_blocking(child.stdout.fileno(), True)
    took = []
    for n in range(200):
        text = line(n)
        start = time.monotonic()
        with open(log, "a") as out:
            out.write(text)
        while child.stdout.readline().decode() != text:
            pass
        took.append(time.monotonic() - start)
    child.terminate()
    child.wait()
    took.sort()
    print(f"audit --follow shows a line after {took[100] * 1e3:.2f} ms (median), {took[-1] * 1e3:.2f} ms at most")


def whoami(product, folder):
    children = []
    try:
        for n in range(CONTAINERS):
            bundle, name = f"{folder}/bundle", f"container-{n:04}"
            with open(f"{bundle}/config.json", "w") as config:
                json.dump({"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "linux": {}, "process": {
                    "user": {"uid": 0, "gid": 0, "additionalGids": [0, 5000]}, "cwd": "/", "args": ["x"]}}, config)
            subprocess.run([product, "--root", f"{folder}/root", "create", "--bundle", bundle, name], check=True)
            child = subprocess.Popen(["sleep", "infinity"])
            children.append(child)
            start = open(f"/proc/{child.pid}/stat").read().rsplit(")", 1)[1].split()[19]
            os.makedirs(f"{folder}/root/{name}")
            with open(f"{folder}/root/{name}/state.json", "w") as state:
                json.dump({"init_process_pid": child.pid, "init_process_start": int(start),
                           "config": {"labels": [f"bundle={bundle}"]}}, state)
        words = [product, "whoami", "--all", "--json"]
        best, shown = None, None
        for _ in range(5):
            start = time.monotonic()
            out = subprocess.run(words, stdout=subprocess.PIPE)
            took = time.monotonic() - start
            best, shown = min(best or took, took), json.loads(out.stdout)
        assert len(shown["containers"]) == CONTAINERS, len(shown["containers"])
        # A child begins with its parent's memory, so a small process starts it.
        small = ("import os, sys\npid = os.fork()\nif pid == 0: os.execv(sys.argv[1], sys.argv[1:])\n"
                 "print(os.wait4(pid, 0)[2].ru_maxrss, file=sys.stderr)")
        peak = subprocess.run([sys.executable, "-S", "-c", small] + words, check=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE).stderr
        print(f"whoami --all over {CONTAINERS} containers: {best:.3f} s, peak {int(peak) / 1024:.1f} MB")
    finally:
        for child in children:
            child.kill()
            child.wait()


def main():
    product, lines = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
    if os.environ.get("SEE_INSIDE") is None:
        os.environ["SEE_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable] + sys.argv)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        for name in ["run", "log", "bundle/rootfs", "root"]:
            os.makedirs(f"{folder}/{name}")
        subprocess.run(["mount", "--bind", f"{folder}/run", "/run"], check=True)
        os.environ["RUNC_STRICT_CONFIG"] = f"{folder}/config.toml"
        with open(f"{folder}/config.toml", "w") as config:
            config.write(f'runtime = "/bin/true"\n[audit]\npath = "{folder}/log/runc-strict.log"\n')
        search(product, folder, lines)
        follow(product, folder)
        whoami(product, folder)
        subprocess.run(["umount", "/run"], check=True)


if len(sys.argv) < 2:
    sys.exit(__doc__)
main()
