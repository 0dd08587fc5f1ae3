"""A network whose weights, gradients and optimizer state are spread over all workers; it knows no loop and no file.

Each block's weights come together for its forward and its backward pass only, and its gradients are added up on their
way back, so that a worker never holds more than one block beside its own share. What spreads them takes a second to
import, so only who spreads imports it.

Source: Zhao et al. 2023, "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", section 3,
arXiv:2304.11277.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from torch import Tensor, nn

from yanmo.modeling.parallel import workers

__all__ = ["gather", "is_sharded", "is_spread", "shard", "spread", "spread_one", "sync_gradients", "whole"]


def is_sharded(module: nn.Module) -> bool:
    """Return whether a network's weights are spread."""
    return hasattr(module, "set_requires_gradient_sync")


def shard(module: nn.Module, device: str) -> nn.Module:
    """Spread a network's weights over the workers, block by block, and return it.

    Args:
        module: It is changed; its weights are the same in every worker.
        device: Where the blocks are computed.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device, (workers.world_size(),))
    for block in _blocks(module):
        fully_shard(block, mesh=mesh)
    # What stands in no block, such as embeddings and head, is spread with the whole.
    fully_shard(module, mesh=mesh)
    for one in _sharded(module):
        one.set_gradient_divide_factor(1.0)  # gradients are sums: each part's loss has its share of the batch already
        one.set_force_sum_reduction_for_comms(True)  # gloo knows no other
    return module


def gather(module: nn.Module) -> None:
    """Make a sharded network a plain one again, whole in every worker."""
    # After a forward pass whole weights may still stand in place of the shares.
    for one in _sharded(module):
        one.reshard()
    parameters = dict(module.named_parameters(remove_duplicate=False))
    # By identity, so that tied weights become one parameter again.
    plain = {id(one): nn.Parameter(whole(one).detach(), one.requires_grad) for one in module.parameters()}
    for one in _sharded(module):
        # fully_shard has derived a class from its own and the block's, in this order.
        one.__class__ = type(one).__bases__[1]
        one._forward_pre_hooks.clear()
        one._forward_hooks.clear()
    for name, parameter in parameters.items():
        place, _, last = name.rpartition(".")
        setattr(module.get_submodule(place), last, plain[id(parameter)])


def sync_gradients(module: nn.Module, *, is_last: bool) -> None:
    """Let the next backward pass add up gradients over all workers, or keep them for a later one."""
    if is_sharded(module):
        cast(Any, module).set_requires_gradient_sync(is_last)


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor of which this worker holds a part; all workers ask at the same time."""
    full: Tensor = cast(Any, tensor).full_tensor() if is_spread(tensor) else tensor
    return full


def is_spread(tensor: Tensor) -> bool:
    """Return whether this worker holds a part of a tensor."""
    return hasattr(tensor, "full_tensor")


def spread(tensors: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return whole tensors spread as others of the same names are; all workers ask at the same time."""
    return {name: spread_one(one, like[name]) for name, one in tensors.items()}


def spread_one(tensor: Tensor, like: Tensor) -> Tensor:
    """Return a whole tensor spread as another one is; all workers ask at the same time."""
    if not is_spread(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    shares: Any = like
    spread_out: Tensor = distribute_tensor(tensor.to(like.device), shares.device_mesh, shares.placements)
    return spread_out


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the members of a network's lists of layers, inner ones first."""
    for one in reversed(list(module.modules())):
        if isinstance(one, nn.ModuleList):
            yield from (block for block in one if any(True for _ in block.parameters()))


def _sharded(module: nn.Module) -> Iterator[Any]:
    return (one for one in list(module.modules()) if is_sharded(one))
