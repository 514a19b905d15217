"""The quickstarts (examples/quickstart), each run as it stands."""

import os
import re
import shutil
import subprocess
import sys
import unittest

from common import FIXTURES, Case, needs

QUICKSTARTS = FIXTURES.parent / "examples/quickstart"


@needs("torch", "torchvision", "safetensors")
class Quickstart(Case):
    def run_page(self, name):
        """What a page prints, on stdout and stderr; it runs in the test's folder."""
        command = [sys.executable, "-B", QUICKSTARTS / name]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=600)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout + done.stderr

    def merged(self, text, pattern=r"merged (\d+) of \d+"):
        counts = [float(count) for count in re.findall(pattern, text)]
        self.assertTrue(counts and all(counts), text)
        return counts

    def test_pytorch(self):
        said = self.run_page("with_pytorch.py")
        self.assertEqual(len(self.merged(said)), 3)
        self.assertIn("holds 4 epochs already", self.run_page("with_pytorch.py"))

    @needs("lightning")
    def test_lightning(self):
        self.run_page("with_lightning.py")
        rows = next(self.folder.rglob("metrics.csv")).read_text().splitlines()
        column = rows[0].split(",").index("inmerge/kernels_merged")
        counts = [row.split(",")[column] for row in rows[1:]]
        self.assertEqual(len([count for count in counts if count and float(count) > 0]), 3)

    @needs("monai", "ignite")
    def test_monai(self):
        said = self.run_page("with_monai.py")
        self.assertEqual(len(self.merged(said, r"inmerge/kernels_merged: ([\d.]+)")), 2)
        self.assertEqual(len(list((self.folder / "runs").glob("*.pt"))), 3)

    @needs("transformers", "accelerate")
    def test_huggingface(self):
        said = self.run_page("with_huggingface.py")
        self.assertEqual(len(self.merged(said, r"'inmerge/kernels_merged': '?([\d.]+)")), 2)

    @needs("timm")
    def test_timm(self):
        self.assertEqual(len(self.merged(self.run_page("with_timm.py"))), 3)
        self.assertTrue((self.folder / "model.safetensors").is_file())

    @needs("nbclient", "nbformat", "ipykernel")
    def test_the_notebook(self):
        import nbformat
        from nbclient import NotebookClient

        notebook = nbformat.read(QUICKSTARTS / "quickstart.ipynb", 4)
        shutil.copy(QUICKSTARTS / "toy_data.py", self.folder)
        before = dict(os.environ)
        self.addCleanup(lambda: (os.environ.clear(), os.environ.update(before)))
        NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(self.folder)}}).execute()
        said = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
        self.assertEqual(len(self.merged(said, r"(\d+) of \d+ kernels merged")), 10)
        self.assertIn("statistics anew", said)


if __name__ == "__main__":
    unittest.main()
