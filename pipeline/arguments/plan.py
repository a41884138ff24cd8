"""The arguments of `pagemill plan`."""

from __future__ import annotations

from pipeline.arguments.flags import FLAGS, Flag, Parser, add_flags, add_settings

PLAN_EXAMPLES = """\
examples:
  pagemill plan --gpu l40s                                  the default model, an A4 page of 1 MP
  pagemill plan --gpu rtx-4000-ada --price 187/month --load 1,000,000
  pagemill plan --model ./my-model --quantisation fp8 --gpu h100-sxm --page-size a4@150 --output-tokens 800
  pagemill plan scans/ --gpu rtx-6000-ada --window 8        hours, nights and money for these documents
  pagemill plan --gpu l40s --pages 200,000 --window 8       hours, nights and money for so many pages, once
  pagemill plan --matrix                                    all cards in the price book against four models
  pagemill plan --print-prices > prices.toml                cards and prices to edit, for --prices

Needs no GPU, no vLLM and no network. Every assumption is printed, and --assume NAME=NUMBER changes it.
"""
PLAN_FLAGS = (
    Flag("--gpu", "gpu", "NAME[,NAME]", "a card of the price book (default: the one in this machine, or rtx-4000-ada)"),
    Flag("--quantisation", "quantisation", "TYPE", "of the weights: bf16, fp8, int8, awq, gptq-g64, nf4, q4_k_m ..."),
    Flag("--kv-dtype", "kv_dtype", "auto|fp8|bf16", "of the KV cache (default: fp8 where the card has it)"),
    Flag("--page-size", "page_size", "SIZE", "a paper at a resolution (a4@150) or pixels (896x1148)"),
    Flag("--page-pixels", "page_pixels", "N", "pixels of a page image"),
    Flag("--prompt-tokens", "prompt_tokens", "N", "instructions and schema (default: estimated from the extraction)"),
    Flag("--output-tokens", "output_tokens", "N", "written for a page (default: 400)"),
    Flag("--sequences", "sequences", "N", "pages in the model at once (default: as `run` would start it)"),
    Flag("--utilisation", "utilisation", "SHARE", "of the paid time in which pages are read: 0.5 or 50%% (default: 1)"),
    Flag("--pages", "pages", "N", "pages to read once: hours, nights, cards and money"),
    Flag("--load", "load", "PAGES", "pages a month: what that costs"),
    Flag("--volume", "volume", "PAGES", "pages a night: how many cards that takes"),
    Flag("--window", "window", "HOURS", "length of a night (default: 8; --pages: all day)"),
    Flag("--price", "price", "PRICE", "an amount (0.62 an hour, 187/month) or a seller in the price book"),
    Flag("--prices", "prices", "FILE", "a price book of your own"),
    Flag("--open", "open_documents", "N", "documents of INPUT to open (default: 100)"),
    Flag("--matrix", "matrix", "", "hold all cards and several models against each other", value="yes"),
    Flag("--print-prices", "print_prices", "", "print the price book, to be edited", value="yes"),
)
PLAN_SETTINGS = frozenset({"vllm.model", "extraction", "render.max_pixels"})


def add_plan_arguments(parser: Parser) -> None:
    """Let the command take its arguments."""
    parser.add_argument("input", nargs="?", metavar="INPUT", help="documents to count, and to forecast the reading of")
    add_flags(parser, (flag for flag in FLAGS if flag.key in PLAN_SETTINGS))
    add_flags(parser, PLAN_FLAGS)
    parser.add_argument("--assume", action="append", default=[], metavar="NAME=NUMBER", help="another assumption")
    add_settings(parser)
