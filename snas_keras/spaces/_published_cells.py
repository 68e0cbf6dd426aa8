"""The live edges of published cells.

From the authors' code: https://github.com/SNAS-Series/SNAS-Series and
https://github.com/quark0/darts.
"""

# Live edges only: edge: operation. All others take `none`.
LIVE = {
    "snas_mild": {
        "normal": {
            "0->2": "sep_conv_3x3",
            "1->2": "sep_conv_3x3",
            "0->3": "skip_connect",
            "1->3": "dil_conv_3x3",
            "0->4": "skip_connect",
            "1->4": "skip_connect",
            "0->5": "skip_connect",
            "1->5": "sep_conv_3x3",
        },
        "reduce": {
            "0->2": "max_pool_3x3",
            "1->2": "max_pool_3x3",
            "1->3": "max_pool_3x3",
            "2->3": "skip_connect",
            "1->4": "max_pool_3x3",
            "2->4": "skip_connect",
            "0->5": "max_pool_3x3",
            "2->5": "dil_conv_5x5",
        },
    },
    "snas_moderate": {
        "normal": {
            "0->2": "dil_conv_5x5",
            "1->2": "skip_connect",
            "0->3": "sep_conv_3x3",
            "1->3": "skip_connect",
            "0->4": "skip_connect",
            "1->4": "skip_connect",
            "0->5": "sep_conv_3x3",
            "1->5": "dil_conv_5x5",
        },
        "reduce": {
            "0->2": "max_pool_3x3",
            "1->2": "max_pool_3x3",
            "0->3": "sep_conv_5x5",
            "1->3": "dil_conv_5x5",
            "0->4": "sep_conv_5x5",
            "1->4": "sep_conv_5x5",
            "0->5": "sep_conv_5x5",
            "1->5": "sep_conv_5x5",
        },
    },
    "snas_aggressive": {
        "normal": {
            "0->2": "sep_conv_5x5",
            "1->2": "skip_connect",
            "0->3": "skip_connect",
            "1->3": "skip_connect",
            "0->4": "skip_connect",
            "1->4": "dil_conv_5x5",
            "0->5": "skip_connect",
            "1->5": "dil_conv_5x5",
        },
        "reduce": {
            "0->2": "sep_conv_5x5",
            "0->3": "sep_conv_5x5",
        },
    },
    "darts_v2": {
        "normal": {
            "0->2": "sep_conv_3x3",
            "1->2": "sep_conv_3x3",
            "0->3": "sep_conv_3x3",
            "1->3": "sep_conv_3x3",
            "0->4": "skip_connect",
            "1->4": "sep_conv_3x3",
            "0->5": "skip_connect",
            "2->5": "dil_conv_3x3",
        },
        "reduce": {
            "0->2": "max_pool_3x3",
            "1->2": "max_pool_3x3",
            "1->3": "max_pool_3x3",
            "2->3": "skip_connect",
            "0->4": "max_pool_3x3",
            "2->4": "skip_connect",
            "1->5": "max_pool_3x3",
            "2->5": "skip_connect",
        },
    },
}
