"""Packed experts come back within half a step, in the bytes that were asked for."""

from __future__ import annotations

import lzma
from math import prod
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from dac.conquer.packing import dequantise, pack, packed_as, quantise, unpack
from dac.errors import UserError

State = dict[str, Tensor]


def experts(count: int, seed: int = 0, apart: float = 0.1, side: int = 16) -> list[State]:
    """Experts of one trunk: the same planes and network but for something of their own."""
    draw = torch.Generator().manual_seed(seed)
    shapes = {"a.planes.0": (3, side, side, 4), "b.planes.0": (3, 5, 7, 2), "net.0": (8, 6)}
    trunk = {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}
    return [
        {name: v + apart * torch.randn(v.shape, generator=draw) for name, v in trunk.items()}
        for _ in range(count)
    ]


def shapes_of(state: State) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def size(tensors: State) -> int:
    return sum(value.nbytes for value in tensors.values())


@given(
    count=st.integers(1, 4),
    levels=st.integers(2, 256),
    seed=st.integers(0, 2**16),
    spread=st.sampled_from([0.0, 1e-3, 1.0, 1e4]),
    offset=st.sampled_from([0.0, -3.0, 1e3]),
)
@settings(max_examples=60, deadline=None)
def test_no_value_is_off_by_more_than_half_a_step(
    count: int, levels: int, seed: int, spread: float, offset: float
) -> None:
    draw = torch.Generator().manual_seed(seed)
    values = offset + spread * torch.randn(count, 3, 6, 5, 2, generator=draw)
    codes, scale = quantise(values, levels)
    back, step = dequantise(codes, scale), scale[1][:, None, None]
    assert codes.shape == (count, 3, 2, 6, 5) and codes.dtype == torch.uint8
    rounding = 4 * torch.finfo(torch.float32).eps * values.abs().max()
    assert bool(((back - values).abs() <= step / 2 + rounding).all())
    width = values.amax((0, 2, 3)) - values.amin((0, 2, 3))
    assert torch.allclose(scale[1] * (levels - 1), width)


def test_channels_that_are_constant_come_back_exactly() -> None:
    values = torch.randn(3, 1, 1, 4).expand(2, 3, 6, 5, 4)
    codes, scale = quantise(values, 256)
    assert not codes.any() and not scale[1].any()
    assert torch.equal(dequantise(codes, scale), values)


def test_values_on_the_steps_come_back_exactly() -> None:
    codes = torch.randint(0, 256, (3, 3, 8, 8, 2), dtype=torch.uint8)
    codes[0, :, 0, 0], codes[0, :, 0, 1] = 0, 255
    values = -1.0 + 0.25 * codes
    assert torch.equal(dequantise(*quantise(values, 256)), values)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_without_a_size_nothing_changes(count: int) -> None:
    states = experts(count)
    back = unpack(pack(states, None), shapes_of(states[0]), count)
    for state, other in zip(states, back, strict=True):
        assert state.keys() == other.keys()
        assert all(torch.equal(state[name], other[name]) for name in state)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_planes_in_8_bits_and_networks_in_half(count: int) -> None:
    states = experts(count)
    back = unpack(pack(states, 2.0), shapes_of(states[0]), count)
    for name in states[0]:
        every = torch.stack([state[name] for state in states])
        unpacked = torch.stack([state[name] for state in back])
        assert unpacked.dtype == torch.float32 and unpacked.shape == every.shape
        if every.dim() == 5:
            assert torch.equal(unpacked, dequantise(*quantise(every, 256)))
        else:
            assert torch.equal(unpacked, every.half().float())


@given(count=st.integers(1, 6), most=st.floats(0.1, 1.3), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_the_size_is_kept(count: int, most: float, seed: int) -> None:
    states = experts(count, seed)
    one, room = size(states[0]), size(pack(states, 9.0))
    try:
        tensors = pack(states, most)
    except UserError as error:
        assert "specialists.packed_size" in str(error) and most * one < room
        return
    assert size(tensors) <= most * one
    assert size(tensors) == room or size(tensors) > 0.6 * most * one or most < 0.4


def test_what_can_not_be_kept_is_one_line() -> None:
    with pytest.raises(UserError, match=r"packed_size: 4 experts take 0\.\d+ at least; raise it"):
        pack(experts(4), 0.01)
    states = experts(2)
    states[1]["net.0"][0, 0] = 1e6
    with pytest.raises(UserError, match=r"beyond half precision; set specialists\.packed_size to"):
        pack(states, 2.0)


def test_experts_of_one_trunk_take_less_than_others() -> None:
    taken = [size(pack(experts(4, apart=apart, side=64), 4.0)) for apart in (0.0, 0.02, 1.0)]
    assert taken == sorted(taken) and taken[0] < 0.3 * taken[2]


def test_arguments_are_left_as_they_are() -> None:
    states, expected = experts(3), experts(3)
    tensors = pack(states, 2.0)
    before = {name: value.clone() for name, value in tensors.items()}
    unpack(tensors, shapes_of(states[0]), 3)
    assert all(torch.equal(tensors[name], before[name]) for name in before)
    for state, other in zip(states, expected, strict=True):
        assert all(torch.equal(state[name], other[name]) for name in state)


def found(tensors: State, file: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    save_file(tensors, file)
    with safe_open(file, "pt") as opened:
        slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
        return {name: (tuple(s.get_shape()), s.get_dtype()) for name, s in slices.items()}


@pytest.mark.parametrize("most", [None, 2.0])
def test_shapes_and_dtypes_are_those_of_the_experts(tmp_path: Path, most: float | None) -> None:
    states = experts(3)
    constant = [{name: torch.zeros_like(v) for name, v in state.items()} for state in states]
    shapes, packed = shapes_of(states[0]), most is not None
    for held in (states, constant):
        there = found(pack(held, most), tmp_path / "a.safetensors")
        assert packed_as(there, shapes, 3, packed)
        assert not packed_as(there, shapes, 2, packed)
        assert not packed_as(there, shapes, 4, packed)
        assert not packed_as(there, shapes, 10**9, packed)
        assert not packed_as(there, shapes, 3, not packed)
        assert not packed_as(there, {**shapes, "net.0": (6, 8)}, 3, packed)
        assert not packed_as(there, {**shapes, "a.planes.0": (3, 2000, 2000, 4)}, 3, packed)
        for name in there:
            assert not packed_as({k: v for k, v in there.items() if k != name}, shapes, 3, packed)
            for other in (((), "U8"), ((1,), "U8"), ((10**9,), "U8"), ((4, 4), "F32")):
                assert not packed_as({**there, name: other}, shapes, 3, packed)
        assert not packed_as({**there, "more": ((1,), "F32")}, shapes, 3, packed)


def zeros(count: int) -> Tensor:
    """A stream of so many codes."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "pb": 0}]
    return torch.tensor(list(lzma.compress(bytes(count), lzma.FORMAT_RAW, filters=filters)))


@pytest.mark.parametrize("length", [0, 1, 10, 3071, 3073, 10**8])
def test_a_stream_of_another_length_is_refused(length: int) -> None:
    states = experts(2)
    name = "experts.1.a.planes.0"
    plain = prod(states[0]["a.planes.0"].shape)
    assert plain == 3072
    tensors = pack(states, 2.0) | {name: zeros(length).byte()}
    with pytest.raises(ValueError, match="has another length than 3072"):
        unpack(tensors, shapes_of(states[0]), 2)
    tensors[name] = zeros(plain).byte()
    unpack(tensors, shapes_of(states[0]), 2)


def test_a_damaged_stream_is_refused() -> None:
    states = experts(2, apart=0.02, side=64)
    tensors = pack(states, 2.0)
    stream = tensors["experts.1.a.planes.0"]
    assert len(stream) < 3 * 64 * 64 * 4
    for damaged in (stream[:-7], torch.cat([stream, stream]), stream.flip(0), stream[:0]):
        with pytest.raises(ValueError, match="a stream of codes"):
            unpack(tensors | {"experts.1.a.planes.0": damaged}, shapes_of(states[0]), 2)
