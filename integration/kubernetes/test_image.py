"""The image that packaging/image/build makes: the same bytes each time, the program alone, and read by skopeo."""

import io
import json
import os
import pathlib
import subprocess
import tarfile
import tempfile
import unittest

BUILD = pathlib.Path(__file__).parent.parent.parent / "packaging/image/build"
NAME = "localhost/runc-strict:0.1.0"


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.archive = pathlib.Path(cls.folder.name, "image.tar")
        cls.build(cls.archive)

    @classmethod
    def build(cls, archive, program=None, umask=0o022):
        words = [BUILD, program or os.environ["RUNC_STRICT"], "0.1.0", archive]
        return subprocess.run(words, capture_output=True, check=program is None, text=True, umask=umask)

    def skopeo(self, *words):
        done = subprocess.run(["skopeo", *words], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_the_same_program_gives_the_same_bytes_whoever_builds_it(self):
        again = pathlib.Path(self.folder.name, "again.tar")
        self.build(again, umask=0o077)
        self.assertEqual(again.read_bytes(), self.archive.read_bytes())

    def test_skopeo_reads_it_by_its_name_and_copies_it_whole(self):
        source = f"oci-archive:{self.archive}:{NAME}"
        config = json.loads(self.skopeo("inspect", "--config", source))
        self.assertEqual(config["config"]["Entrypoint"], ["/runc-strict"])
        self.assertEqual(config["os"], "linux")
        found = json.loads(self.skopeo("inspect", source))
        self.assertEqual(found["Labels"]["org.opencontainers.image.version"], "0.1.0")
        # Every digest is checked on the way.
        copy = pathlib.Path(self.folder.name, "copy")
        self.skopeo("copy", "--quiet", source, f"dir:{copy}")
        [layer] = found["Layers"]
        with tarfile.open(fileobj=io.BytesIO((copy / layer.removeprefix("sha256:")).read_bytes())) as tar:
            [entry] = tar.getmembers()
            self.assertEqual((entry.name, entry.mode, entry.uid, entry.gid), ("runc-strict", 0o755, 0, 0))
            program = pathlib.Path(os.environ["RUNC_STRICT"]).read_bytes()
            self.assertEqual(tar.extractfile(entry).read(), program)

    def test_a_program_that_needs_a_loader_is_refused(self):
        done = self.build(pathlib.Path(self.folder.name, "no.tar"), program="/bin/true")
        self.assertEqual((done.returncode, done.stderr), (1, "image: /bin/true isn't static\n"))


if __name__ == "__main__":
    unittest.main()
