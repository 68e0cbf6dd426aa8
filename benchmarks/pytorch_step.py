"""The same search step in eager PyTorch, for comparison.

The paper's supernet with the same candidates, one Gumbel-softmax draw per cell
type, momentum for the weights and Adam for the logits, in one backward pass.
PyTorch (`pip install torch==2.13.0`) belongs in an environment of its own.
"""

import harness
import torch
from torch import nn
from torch.nn import functional


def separable(channels, size, stride=1, dilation=1):
    padding = dilation * (size // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(
            channels,
            channels,
            size,
            stride,
            padding,
            dilation,
            groups=channels,
            bias=False,
        ),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=False),
    ]


def pointwise(before, channels):
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(before, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=False),
    )


def pooled(pool, channels):
    return nn.Sequential(pool, nn.BatchNorm2d(channels, affine=False))


class Zero(nn.Module):
    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return 0.0 * x[:, :, :: self.stride, :: self.stride]


class FactorizedReduce(nn.Module):
    def __init__(self, before, channels):
        super().__init__()
        self.halves = nn.ModuleList(
            nn.Conv2d(before, channels // 2, 1, 2, bias=False) for _ in range(2)
        )
        self.norm = nn.BatchNorm2d(channels, affine=False)

    def forward(self, x):
        x = functional.relu(x)
        halves = [self.halves[0](x), self.halves[1](x[:, :, 1:, 1:])]
        return self.norm(torch.cat(halves, 1))


class Edge(nn.Module):
    def __init__(self, channels, stride):
        super().__init__()
        is_halving = stride == 2
        self.candidates = nn.ModuleList(
            [
                Zero(stride),
                pooled(nn.MaxPool2d(3, stride, 1), channels),
                pooled(
                    nn.AvgPool2d(3, stride, 1, count_include_pad=False),
                    channels,
                ),
                FactorizedReduce(channels, channels)
                if is_halving
                else nn.Identity(),
                *(
                    nn.Sequential(
                        *separable(channels, size, stride),
                        *separable(channels, size),
                    )
                    for size in (3, 5)
                ),
                *(
                    nn.Sequential(*separable(channels, size, stride, 2))
                    for size in (3, 5)
                ),
            ]
        )

    def forward(self, x, weights):
        pairs = zip(weights, self.candidates, strict=True)
        return sum(weight * layer(x) for weight, layer in pairs)


class Cell(nn.Module):
    def __init__(self, before, previous, channels, is_reduction, halve_before):
        super().__init__()
        self.is_reduction = is_reduction
        first = FactorizedReduce if halve_before else pointwise
        self.first = first(before, channels)
        self.second = pointwise(previous, channels)
        self.edges = nn.ModuleList(
            Edge(channels, 2 if is_reduction and source < 2 else 1)
            for node in range(2, 6)
            for source in range(node)
        )

    def forward(self, before, previous, weights):
        nodes = [self.first(before), self.second(previous)]
        edges = iter(zip(self.edges, weights, strict=True))
        for _ in range(4):
            terms = [
                edge(x, z) for x, (edge, z) in zip(nodes, edges, strict=False)
            ]
            nodes.append(sum(terms))
        return torch.cat(nodes[2:], 1)


class SuperNet(nn.Module):
    def __init__(self, cells, channels, classes=10):
        super().__init__()
        before = previous = 3 * channels
        self.stem = nn.Sequential(
            nn.Conv2d(3, previous, 3, padding=1, bias=False),
            nn.BatchNorm2d(previous),
        )
        self.cells = nn.ModuleList()
        was_reduction = False
        for index in range(cells):
            is_reduction = index in (cells // 3, 2 * cells // 3)
            channels *= 2 if is_reduction else 1
            self.cells.append(
                Cell(before, previous, channels, is_reduction, was_reduction)
            )
            before, previous = previous, 4 * channels
            was_reduction = is_reduction
        self.classifier = nn.Linear(previous, classes)

    def forward(self, x, normal, reduce):
        before = previous = self.stem(x)
        for cell in self.cells:
            weights = reduce if cell.is_reduction else normal
            before, previous = previous, cell(before, previous, weights)
        return self.classifier(previous.mean((2, 3)))


def prepare(args):
    torch.manual_seed(0)
    build_seconds, model = harness.seconds(
        lambda: SuperNet(args.cells, args.channels)
    )
    logits = [torch.zeros(14, 8, requires_grad=True) for _ in range(2)]
    sgd = torch.optim.SGD(
        model.parameters(), 0.025, momentum=0.9, weight_decay=3e-4
    )
    adam = torch.optim.Adam(logits, 3e-4, betas=(0.5, 0.999))
    x = torch.randn(args.batch, 3, args.image, args.image)
    y = torch.randint(0, 10, (args.batch,))

    def step():
        draws = [
            functional.gumbel_softmax(values, tau=1.0) for values in logits
        ]
        loss = functional.cross_entropy(model(x, *draws), y)
        sgd.zero_grad()
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        sgd.step()
        adam.step()
        return loss.item()

    first_step_seconds, loss = harness.seconds(step)
    buffers = dict(model.named_buffers())
    counters = [n for n in buffers if n.endswith("num_batches_tracked")]
    facts = {
        "build_seconds": build_seconds,
        "first_step_seconds": first_step_seconds,
        "first_loss": loss,
        "parameters": sum(p.numel() for p in model.parameters()),
        "moving_statistics": sum(
            b.numel() for name, b in buffers.items() if name not in counters
        ),
        "logits": sum(values.numel() for values in logits),
    }
    return step, facts


def main():
    step, facts = prepare(harness.arguments(__doc__).parse_args())
    harness.serve(harness.timed(step), facts)


if __name__ == "__main__":
    main()
