"""A trainer beside a running `watch`: after every epoch it waits for the merged checkpoint and goes on from it.

`live.py lightning|huggingface PROGRAM RUN MERGED` trains three epochs, saves into RUN and reads from MERGED; at last it resumes from
the last merged checkpoint and compares what else the trainer keeps. Prints the checkpoints it went on from.
"""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from trainers import data, lightning_module, network  # noqa: E402

warnings.filterwarnings("ignore")
EPOCHS = 3


def wait(program, source, output):
    subprocess.run([program, "wait", output, "--source", source, "--timeout", "60s", "--poll", "100ms", "--quiet"], check=True)
    return output


def changed(before, after):
    """The names of the tensors that differ; there must be the same ones."""
    assert list(before) == list(after)
    return [name for name in before if not torch.equal(before[name], after[name])]


def lightning(program, run, merged):
    import logging

    from lightning import Callback, Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    used = []

    class GoOnFromMerged(Callback):
        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch == 0:
                return
            source = run / f"epoch={trainer.current_epoch - 1}.ckpt"
            output = wait(program, source, merged / source.name)
            weights = torch.load(output, weights_only=False)["state_dict"]
            assert changed(module.state_dict(), weights)
            module.load_state_dict(weights)
            used.append(output.name)

    saver = ModelCheckpoint(run, "{epoch}", save_top_k=-1, save_last="link", save_on_train_epoch_end=True)

    def trainer(epochs, callbacks):
        return Trainer(max_epochs=epochs, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
                       enable_model_summary=False, enable_checkpointing=bool(callbacks), callbacks=callbacks, default_root_dir=run)

    loader = torch.utils.data.DataLoader(data(), 4)
    trainer(EPOCHS, [saver, GoOnFromMerged()]).fit(lightning_module(), loader)
    last = run / f"epoch={EPOCHS - 1}.ckpt"
    output = wait(program, last, merged / last.name)
    before, after = (torch.load(file, weights_only=False) for file in (last, output))
    assert len(changed(before["state_dict"], after["state_dict"])) > 0
    seen = {}

    class Look(Callback):
        def on_train_start(self, trainer, module):
            seen["net"] = {name: value.clone() for name, value in module.state_dict().items()}
            seen["moments"] = [state["exp_avg"].clone() for state in trainer.optimizers[0].state_dict()["state"].values()]
            seen["epoch"] = trainer.current_epoch

    trainer(EPOCHS + 1, [Look()]).fit(lightning_module(), loader, ckpt_path=str(output), weights_only=False)
    assert seen["epoch"] == EPOCHS and not changed(after["state_dict"], seen["net"])
    moments = before["optimizer_states"][0]["state"].values()
    assert all(torch.equal(a["exp_avg"], b) for a, b in zip(moments, seen["moments"], strict=True))
    return [*used, output.name]


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, pixel_values, labels):
        logits = self.net(pixel_values)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def huggingface(program, run, merged):
    from transformers import Trainer, TrainerCallback, TrainingArguments
    used = []

    class GoOnFromMerged(TrainerCallback):
        def on_save(self, args, state, control, model, **_):
            source = run / f"checkpoint-{state.global_step}"
            output = wait(program, source, merged / source.name)
            weights = load_file(output / "model.safetensors")
            assert changed(dict(load_file(source / "model.safetensors")), weights)
            model.load_state_dict(weights)
            used.append(output.name)

    class Images(torch.utils.data.Dataset):
        def __init__(self):
            self.data = data()

        def __len__(self):
            return len(self.data)

        def __getitem__(self, index):
            image, label = self.data[index]
            return {"pixel_values": image, "labels": label}

    class Look(TrainerCallback):
        def on_train_begin(self, args, state, control, model, optimizer, **_):
            self.net = {name: value.clone() for name, value in model.state_dict().items()}
            optimizer = getattr(optimizer, "optimizer", optimizer)
            self.moments = [state["exp_avg"].clone() for state in optimizer.state_dict()["state"].values()]
            self.step = state.global_step

    def trainer(epochs, callback):
        arguments = TrainingArguments(str(run), num_train_epochs=epochs, per_device_train_batch_size=4, save_strategy="epoch",
                                      logging_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True)
        return Trainer(Classifier(), arguments, train_dataset=Images(), callbacks=[callback])

    trainer(EPOCHS, GoOnFromMerged()).train()
    last = merged / used[-1]
    names = {file.name for file in (run / used[-1]).iterdir()}
    assert {file.name for file in last.iterdir()} == names and "optimizer.pt" in names, names
    look = Look()
    trainer(EPOCHS + 1, look).train(resume_from_checkpoint=str(last))
    assert look.step == int(used[-1].removeprefix("checkpoint-")), look.step
    weights = load_file(last / "model.safetensors")
    assert all(torch.equal(look.net[name], value) for name, value in weights.items())
    moments = torch.load(run / used[-1] / "optimizer.pt", weights_only=True)["state"].values()
    assert all(torch.equal(a["exp_avg"], b) for a, b in zip(moments, look.moments, strict=True))
    return used


def main(trainer, program, run, merged):
    used = {"lightning": lightning, "huggingface": huggingface}[trainer](program, Path(run), Path(merged))
    print(json.dumps({"used": used}))


main(*sys.argv[1:])
