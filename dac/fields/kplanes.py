"""K-Planes for static scenes: feature planes xy, xz, yz at several scales, multiplied and decoded.

Source: Fridovich-Keil et al., K-Planes (CVPR 2023). Notation: N points, F = channels x scales
features, G features that the colour sees. No layer has a bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from dac import ops
from dac.settings import ModelSettings

_SH = 16


def _plane(resolution: int, channels: int, low: float, high: float) -> nn.Parameter:
    """(3, resolution, resolution, channels), uniform in [low, high]."""
    return nn.Parameter(torch.empty(3, resolution, resolution, channels).uniform_(low, high))


def _network(widths: Sequence[int]) -> nn.ParameterList:
    """Weights (out, in) of a network without biases, Xavier-uniform."""
    return nn.ParameterList(
        nn.init.xavier_uniform_(torch.empty(outputs, inputs))
        for inputs, outputs in pairwise(widths)
    )


class ProposalField(nn.Module):
    """Density from planes of one scale: a 1-layer network, or linear in the explicit model."""

    def __init__(self, settings: ModelSettings, level: int) -> None:
        super().__init__()
        channels = settings.proposal_channels
        hidden = [settings.hidden] if settings.decoder == "hybrid" else []
        resolution = settings.proposal_resolutions[level]
        self.planes = nn.ParameterList([_plane(resolution, channels, 0.1, 0.15)])
        self.decoder = _network([channels, *hidden, 1])

    def density(self, points: Tensor) -> Tensor:
        """Points (N, 3) in [-1, 1] -> sigma (N,)."""
        features = ops.triplane(list(self.planes), points)
        return ops.truncated_exp(ops.network(features, list(self.decoder))[:, 0] - 1)


class _Planes(nn.Module):
    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.planes = nn.ParameterList(
            _plane(settings.resolution * scale, settings.channels, 0.1, 0.5)
            for scale in settings.scales
        )
        self.width = settings.channels * len(settings.scales)


class HybridField(_Planes):
    """Small networks decode density and colour; the direction enters as spherical harmonics."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        hidden, features = settings.hidden, settings.geometry_features
        self.density = _network([self.width, hidden, 1 + features])
        self.colours = _network([_SH + features, *[hidden] * settings.colour_layers, 3])

    def geometry(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Points (N, 3) in [-1, 1] -> sigma (N,), features (N, G)."""
        raw = ops.network(ops.triplane(list(self.planes), points), list(self.density))
        sigma, features = torch.split(raw, [1, raw.shape[1] - 1], dim=1)
        return ops.truncated_exp(sigma[:, 0] - 1), features

    def direction_code(self, directions: Tensor) -> Tensor:
        """Unit directions (R, 3) -> (R, hidden): the harmonics' share of the first layer."""
        return functional.linear(ops.spherical_harmonics(directions), self.colours[0][:, :_SH])

    def colour(self, features: Tensor, code: Tensor) -> Tensor:
        """Features (R*S, G), codes (R, hidden) -> rgb (R*S, 3)."""
        first, *others = self.colours
        return torch.sigmoid(ops.network(features, [first[:, _SH:], *others], code))


class ExplicitField(_Planes):
    """Features are density and colour coefficients; only the colour's basis is a network."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        layers = [settings.explicit_hidden] * settings.explicit_layers
        self.density = _network([self.width, 1])
        self.basis = _network([3, *layers, 3 * self.width])

    def geometry(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Points (N, 3) in [-1, 1] -> sigma (N,), features (N, F)."""
        features = ops.triplane(list(self.planes), points)
        return ops.truncated_exp(functional.linear(features, self.density[0])[:, 0] - 1), features

    def direction_code(self, directions: Tensor) -> Tensor:
        """Unit directions (R, 3) -> (R, 3F): the basis, of directions moved to [0, 1]."""
        return ops.network((directions + 1) / 2, list(self.basis))

    def colour(self, features: Tensor, code: Tensor) -> Tensor:
        """Features (R*S, F), bases (R, 3F) -> rgb (R*S, 3)."""
        along = features.view(len(code), len(features) // max(len(code), 1), self.width)
        basis = code.view(len(code), 3, self.width)
        return torch.sigmoid(along @ basis.transpose(1, 2)).view(-1, 3)
