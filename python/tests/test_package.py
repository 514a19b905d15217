"""The package against the program that it brings: `python -m unittest` where the wheel is installed, with FIXTURES naming the project's."""

import inspect as reflection
import os
import subprocess
import sys
import typing
import unittest
import unittest.mock

from common import DEMO, FIXTURES, Case

import inmerge_ckpt
from inmerge_ckpt import InmergeError, InmergeWarning, NothingMerged, UsageError, analyze, apply, diff, inspect, merge, program, wait
from inmerge_ckpt._commands import LayerFlags, MergeFlags


class Package(Case):
    def path(self, name):
        return self.folder / name

    def test_a_merge_is_that_of_the_program(self):
        plan = self.path("plan.json")
        report = merge(DEMO, self.path("out.safetensors"), tau=0.9, plan=plan)
        expected = (FIXTURES / "golden/demo.safetensors").read_bytes()
        self.assertEqual(self.path("out.safetensors").read_bytes(), expected)
        self.assertEqual(report.output, str(self.path("out.safetensors")))
        self.assertEqual(report.totals.merged, sum(layer.merged for layer in report.layers))
        self.assertGreater(report.totals.merged, 0)
        apply(plan, DEMO, self.path("again.safetensors"))
        self.assertEqual(self.path("again.safetensors").read_bytes(), expected)
        changed = {tensor.name for tensor in diff(DEMO, self.path("again.safetensors")).tensors if tensor.status == "changed"}
        self.assertEqual(changed, {layer.name for layer in report.layers if layer.merged})

    def test_layers_and_reports_are_read(self):
        inspection = inspect(DEMO, exclude=["layer4*"])
        self.assertIn("excluded", {layer.reason for layer in inspection.layers})
        numbers = analyze(DEMO, self.path("report"), no_spectrum=True)
        convolutions = [layer for layer in inspection.layers if layer.kind != "linear"]
        self.assertEqual(len(numbers["layers"]), len(convolutions))
        self.assertTrue((self.path("report") / "index.html").is_file())

    def test_errors_are_the_program_s_sentences(self):
        with self.assertRaisesRegex(InmergeError, "^.*nowhere.safetensors: no such file; check the path$"):
            merge("nowhere.safetensors", self.path("out.safetensors"))
        with self.assertRaisesRegex(UsageError, r"^invalid value '2' for '--tau <T>': .*\)$"):
            merge(DEMO, self.path("out.safetensors"), tau=2)
        with self.assertRaises(NothingMerged):
            merge(DEMO, self.path("out.safetensors"), tau=1, require_merges=True)
        with self.assertRaisesRegex(InmergeError, "not there after 0 s"):
            wait(self.path("out.safetensors"), timeout=0)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_warnings_name_the_line_that_called(self):
        with self.assertWarnsRegex(InmergeWarning, "NOTHING MERGED") as warned:
            report = merge(DEMO, dry_run=True, tau=1)
        self.assertEqual(warned.filename, __file__)
        self.assertEqual([str(warned.warning)], report.warnings)

    def test_arguments_are_those_of_the_flags(self):
        more = {merge: MergeFlags, inspect: LayerFlags, analyze: LayerFlags}
        for command in (merge, apply, inspect, diff, analyze, wait):
            shown = subprocess.run([program(), command.__name__, "--help"], capture_output=True, text=True, check=True).stdout
            parameters = reflection.signature(command).parameters
            own = [name for name, parameter in parameters.items() if parameter.kind is parameter.KEYWORD_ONLY]
            for name in own + (list(typing.get_type_hints(more[command])) if command in more else []):
                self.assertIn(f"--{name.replace('_', '-')} ", shown.replace("\n", " "), command.__name__)

    def test_the_locale_makes_no_difference(self):
        path = self.path("Röntgen.safetensors")
        path.write_bytes(DEMO.read_bytes())
        script = self.path("script.py")
        script.write_text(
            "import os, sys\nfrom inmerge_ckpt import inspect\n"
            "os.chdir(sys.argv[1])\n[name] = [name for name in os.listdir() if name.endswith('.safetensors')]\n"
            "print(len(inspect(name).layers))\n"
        )
        ascii_only = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run([sys.executable, script, path.parent], env=ascii_only, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout.strip()), (0, "21"), done.stderr)

    def test_a_program_that_is_none_or_is_killed_is_named(self):
        killed = self.path("killed")
        killed.write_text("#!/bin/sh\nkill -9 $$\n")
        killed.chmod(0o755)
        cases = {"/bin/true": "printed no JSON", "nowhere": "not there to run", str(killed): "ended by SIGKILL"}
        for named, said in cases.items():
            with unittest.mock.patch.dict(os.environ, {"INMERGE_PROGRAM": named}), self.assertRaisesRegex(InmergeError, said):
                inspect(DEMO)

    def test_what_is_exported_is_there(self):
        self.assertTrue(all(hasattr(inmerge_ckpt, name) for name in inmerge_ckpt.__all__))


if __name__ == "__main__":
    unittest.main()
