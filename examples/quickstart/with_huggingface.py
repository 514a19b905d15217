"""Hugging Face: a callback that is attached to the Trainer. Its checkpoints hold the merged weights."""

import torch
from toy_data import toy_images
from transformers import ResNetConfig, ResNetForImageClassification, Trainer, TrainingArguments, set_seed

from inmerge_ckpt.transformers import InMerge


def records(count, seed):
    return [{"pixel_values": image, "labels": label} for image, label in zip(*toy_images(count, seed), strict=True)]


def accuracy(prediction):
    return {"accuracy": (torch.tensor(prediction.predictions).argmax(1) == torch.tensor(prediction.label_ids)).float().mean().item()}


set_seed(0)
config = ResNetConfig(num_channels=1, embedding_size=32, hidden_sizes=[32, 64, 128, 128], depths=[2, 2, 2, 2], layer_type="basic", num_labels=2)
arguments = TrainingArguments(
    "run", num_train_epochs=3, per_device_train_batch_size=64, learning_rate=1e-3,
    eval_strategy="epoch", save_strategy="epoch", logging_strategy="epoch", report_to=[],
)
trainer = Trainer(
    ResNetForImageClassification(config), arguments,
    train_dataset=records(512, 0), eval_dataset=records(256, 1), compute_metrics=accuracy,
)
InMerge(tau="5%", momentum="merge").attach(trainer)
trainer.train()
