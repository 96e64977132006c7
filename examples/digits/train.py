"""Train the digits network and write digits.onnx, calib.npz and test.npz beside this file.

Needs torch and scikit-learn, which edgeq itself does not need. In a virtual environment of its own:

    pip install torch==2.13.0 scikit-learn onnx onnxscript
    python examples/digits/train.py

Takes about 15 seconds on one core. Seeds, split and thread count are fixed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

HERE = Path(__file__).resolve().parent
EPOCHS, BATCH, PEAK_RATE = 60, 64, 1e-2
N_TEST, N_CALIB = 500, 100


def conv_bn(inputs: int, outputs: int, kernel: int, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Digits(nn.Module):
    """8x8 grey image, raw values 0..16, to the probabilities of the ten digits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(1, 16, 3)
        self.depthwise = conv_bn(16, 16, 3, groups=16)
        self.pointwise = conv_bn(16, 32, 1)
        self.pool = nn.MaxPool2d(2)
        self.residual_depthwise = conv_bn(32, 32, 3, groups=32)
        self.residual_pointwise = conv_bn(32, 32, 1)
        self.widen = conv_bn(32, 48, 1)
        self.classify = nn.Linear(48, 10)

    def logits(self, image: Tensor) -> Tensor:
        x = self.stem(image).relu()
        x = self.depthwise(x).relu()
        x = self.pool(self.pointwise(x).relu())
        y = self.residual_pointwise(self.residual_depthwise(x).relu())
        x = self.widen((x + y).relu()).relu()
        return self.classify(functional.adaptive_avg_pool2d(x, 1).flatten(1))

    def forward(self, image: Tensor) -> Tensor:
        return self.logits(image).softmax(dim=1)


def split() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Three disjoint sets, digits in equal shares: 1197 images to train on, 100 to calibrate, 500 to test."""
    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[:, None]
    train_x, test_x, train_y, test_y = train_test_split(
        images, bunch.target, test_size=N_TEST, stratify=bunch.target, random_state=0
    )
    train_x, calib_x, train_y, calib_y = train_test_split(train_x, train_y, test_size=N_CALIB, stratify=train_y, random_state=0)
    return {"train": (train_x, train_y), "calib": (calib_x, calib_y), "test": (test_x, test_y)}


def shifted(images: Tensor) -> Tensor:
    """Move each image by up to one pixel in each direction."""
    padded = functional.pad(images, (1, 1, 1, 1))
    offsets = torch.randint(0, 3, (len(images), 2)).tolist()
    return torch.stack([image[:, r : r + 8, c : c + 8] for image, (r, c) in zip(padded, offsets, strict=True)])


def train(images: Tensor, labels: Tensor) -> Digits:
    model = Digits()
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=1e-2)
    steps = (len(images) + BATCH - 1) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, epochs=EPOCHS, steps_per_epoch=steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH):
            loss = functional.cross_entropy(model.logits(shifted(images[batch])), labels[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    data = split()
    images = {name: torch.from_numpy(x.astype(np.float32)) for name, (x, _) in data.items()}
    model = train(images["train"], torch.from_numpy(data["train"][1]))
    with torch.no_grad():
        for name, (_, labels) in data.items():
            accuracy = float((model(images[name]).argmax(1).numpy() == labels).mean())
            print(f"{name:5s} {len(labels):4d} images, accuracy {accuracy:.4f}")
    print(f"{sum(p.numel() for p in model.parameters())} parameters")

    path = HERE / "digits.onnx"
    torch.onnx.export(
        model,
        (torch.zeros(1, 1, 8, 8),),
        path,
        input_names=["image"],
        output_names=["probabilities"],
        opset_version=17,
        dynamo=False,
    )
    onnx.checker.check_model(onnx.load(path), full_check=True)
    np.savez_compressed(HERE / "calib.npz", image=data["calib"][0])
    np.savez_compressed(HERE / "test.npz", image=data["test"][0], labels=data["test"][1].astype(np.uint8))
    for name in ("digits.onnx", "calib.npz", "test.npz"):
        print(f"{name}: {(HERE / name).stat().st_size} bytes")


if __name__ == "__main__":
    main()
