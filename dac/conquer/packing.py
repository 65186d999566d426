"""Experts in few bytes: planes as entropy-coded whole numbers, networks in half precision.

Notation: K experts. A plane (3, H, W, C) has C channels in each of three orientations; all experts'
values in one of these share an offset and a step: value = offset + step * code, with up to 256
codes. Experts of one trunk lie near each other, so the first one's codes are kept and the others'
differences from them, modulo 256, in the order (3, C, H, W), each expert as one LZMA2 stream.

The file holds `experts.{k}.{name}` for each of an expert's tensors and, of planes,
`scale.{name}` (2, 3, C): offsets and steps.
"""

from __future__ import annotations

import lzma
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod

import torch
from torch import Tensor

from dac.errors import UserError

Shapes = Mapping[str, tuple[int, ...]]

_LEVELS = 256
_LZMA = [{"id": lzma.FILTER_LZMA2, "preset": 6, "pb": 0}]  # bytes, not words
# No stream is shorter than its codes by a larger factor (zeros fill it up), so that a file can't
# ask for much more memory than it has bytes.
_TIMES_SHORTER = 32
_SETTING = "specialists.packed_size"


def pack(states: Sequence[Mapping[str, Tensor]], most: float | None) -> dict[str, Tensor]:
    """Experts' weights as a file holds them.

    Planes have as many levels as fit into `most`, 256 at best; then no value is off by more than
    half a step, 1 / 510 of its channel's range.

    Args:
        states: K state dicts of the same float32 tensors.
        most: bytes in units of one state's; None keeps every number as it is.

    Raises:
        UserError: not even two levels fit; a number is beyond half precision.
    """
    states = [{name: v.detach().cpu().contiguous() for name, v in s.items()} for s in states]
    if most is None:
        return {f"experts.{k}.{name}": v for k, s in enumerate(states) for name, v in s.items()}
    numbers = sum(value.numel() for value in states[0].values())
    allowed, levels = most * 4 * numbers, _LEVELS
    while (taken := _bytes(tensors := _packed(states, levels))) > allowed:
        if levels == 2:
            what = f"{len(states)} experts take {taken / (4 * numbers):.3g} at least"
            raise UserError(_SETTING, what, "raise it")
        # Half the levels save a bit a number at most, so this goes 3 % too far at worst.
        excess = 8 * (taken - allowed) / (len(states) * numbers)
        levels = max(2, int(0.97 * levels / 2**excess))
    if not all(bool(v.isfinite().all()) for v in tensors.values()):
        fix = f"set {_SETTING} to null, or look at the runs' curves"
        raise UserError("specialists", "hold numbers that are beyond half precision", fix)
    return tensors


def _bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(value.nbytes for value in tensors.values())


def _packed(states: Sequence[Mapping[str, Tensor]], levels: int) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Tensor] = {}
    for name, first in states[0].items():
        every = {f"experts.{k}.{name}": state[name] for k, state in enumerate(states)}
        if first.dim() == 4:
            codes, tensors[f"scale.{name}"] = quantise(torch.stack(list(every.values())), levels)
            plain |= dict(zip(every, codes, strict=True))
        else:
            tensors |= {where: value.half() for where, value in every.items()}
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return tensors | dict(zip(plain, pool.map(_stream, plain.values()), strict=True))


def quantise(values: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Codes of K experts' planes, and what they mean.

    Args:
        values: (K, 3, H, W, C).
        levels: 2 to 256.

    Returns:
        (K, 3, C, H, W) uint8, and (2, 3, C) offsets and steps.
    """
    low, high = values.amin(dim=(0, 2, 3)), values.amax(dim=(0, 2, 3))
    step = (high - low) / (levels - 1)
    wide = torch.where(step > 0, step, 1.0)[:, None, None]
    codes = ((values - low[:, None, None]) / wide).round().clamp(0, levels - 1)
    codes = codes.to(torch.uint8).permute(0, 1, 4, 2, 3).contiguous()
    codes[1:] -= codes[0].clone()
    return codes, torch.stack([low, step])


def dequantise(codes: Tensor, scale: Tensor) -> Tensor:
    """The values (K, 3, H, W, C) of what `quantise` gave."""
    codes = codes.clone()
    codes[1:] += codes[0].clone()
    low, step = scale[:, :, None, None]
    values: Tensor = low + step * codes.permute(0, 1, 3, 4, 2)
    return values


def unpack(tensors: Mapping[str, Tensor], shapes: Shapes, count: int) -> list[dict[str, Tensor]]:
    """Experts' weights, float32, from what `pack` made.

    Args:
        tensors: all that a file holds; others' are not looked at.
        shapes: of an expert's tensors, by name.
        count: K.

    Raises:
        KeyError: a tensor is missing.
        ValueError: a stream is damaged; it never takes more memory than its plane's codes.
    """
    states: list[dict[str, Tensor]] = [{} for _ in range(count)]
    for name, shape in shapes.items():
        every = [tensors[f"experts.{k}.{name}"] for k in range(count)]
        if every[0].dtype == torch.uint8:
            with ThreadPoolExecutor(torch.get_num_threads()) as pool:
                codes = torch.stack(list(pool.map(_codes, every, [prod(shape)] * count)))
            orientations, height, width, channels = shape
            codes = codes.view(count, orientations, channels, height, width)
            every = list(dequantise(codes, tensors[f"scale.{name}"]))
        for state, value in zip(states, every, strict=True):
            state[name] = value.float()
    return states


def packed_as(
    found: Mapping[str, tuple[tuple[int, ...], str]], shapes: Shapes, count: int, packed: bool
) -> bool:
    """Whether a file's tensors, by shape and safetensors dtype, unpack to so many experts.

    Then they unpack to at most `4 * _TIMES_SHORTER` times the file's bytes.

    Args:
        found: what a file holds, without what is not of `pack`.
        shapes, count: as of `unpack`.
        packed: `pack` had a size to keep.
    """
    if count * len(shapes) > len(found):
        return False
    wanted: dict[str, tuple[tuple[int, ...], str]] = {}
    for name, shape in shapes.items():
        plane, plain = packed and len(shape) == 4, prod(shape)
        if plane:
            wanted[f"scale.{name}"] = ((2, shape[0], shape[3]), "F32")
        for k in range(count):
            where = f"experts.{k}.{name}"
            wanted[where] = (shape, "F16" if packed else "F32")
            if plane:
                size, _ = found.get(where, ((plain,), ""))
                fits = len(size) == 1 and size[0] <= plain <= _TIMES_SHORTER * size[0]
                wanted[where] = (size if fits else (plain,), "U8")
    return dict(found) == wanted


def _stream(codes: Tensor) -> Tensor:
    """(n,) uint8 of codes: compressed, where that is shorter."""
    plain = codes.numpy().tobytes()
    data = lzma.compress(plain, lzma.FORMAT_RAW, filters=_LZMA)
    data = data.ljust(-(-len(plain) // _TIMES_SHORTER), b"\0")
    stream = data if len(data) < len(plain) else plain
    return torch.frombuffer(bytearray(stream), dtype=torch.uint8)


def _codes(stream: Tensor, count: int) -> Tensor:
    """(count,) the codes of a stream."""
    if len(stream) == count:
        return stream
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_LZMA)
    try:
        data = decoder.decompress(stream.numpy().tobytes(), max_length=count + 1)
    except lzma.LZMAError as error:
        raise ValueError(f"a stream of codes is damaged: {error}") from None
    if len(data) != count or not decoder.eof or decoder.unused_data.strip(b"\0"):
        raise ValueError(f"a stream of codes has another length than {count}")
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
