"""The question as every stage sees it: LLM, hardware, prices and scenario, each input a Quantity that exists once."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from estimator.catalog import formats
from estimator.catalog.facts import Fact, fact
from estimator.catalog.files import recent
from estimator.catalog.prices import ApiPrice
from estimator.catalog.retrieval import text_ratio
from estimator.errors import DoesNotFit, NotNamed
from estimator.formulas import money, transformer
from estimator.formulas.arithmetic import product, sum_of
from estimator.predict.learning import NONE, OwnRuns
from estimator.pricing import USER_SOURCE, Owned, Price, owned
from estimator.quantities import ONE_AT_A_TIME, Design, Quantity, derive, given
from estimator.records import Accelerator, Architecture, Basis, Cluster, Source
from estimator.results import Assumption, Limit
from estimator.scenario import Amount, Scenario
from estimator.text import named

Predicted = TypeVar("Predicted")
SCENARIO_SOURCE = Source("default scenario (estimator/presets/scenario.toml)", kind="assumed")


@dataclass(slots=True, eq=False)
class Question:
    """One LLM on one kind of accelerator, or behind an API, in one scenario.

    count: accelerators when the user fixed them, else each stage chooses
    usd_per_hour: price of one accelerator-hour, of an owned one while it serves; NaN when nobody knows
    owned: where the accelerators are one's own, what they cost
    """

    scenario: Scenario
    llm: Architecture | None
    accelerator: Accelerator | None
    count: int | None
    per_node: int
    api: ApiPrice | None
    usd_per_hour: Quantity
    carbon_g_per_kwh: Quantity
    pue: Quantity
    owned: Owned | None = None
    design: Design = ONE_AT_A_TIME
    own_runs: OwnRuns = NONE  # which correct what is predicted
    data: Any = None  # the user's training samples, once counted
    bare: Any = None  # the bare LLM's service, once computed
    machine: Cluster | None = None  # the instance that was named, if one was
    chosen_by: set[str] = field(default_factory=set)  # inputs by whose value something was chosen, beside any formula
    limits: dict[Limit, None] = field(default_factory=dict)  # what the answer kept within
    _inputs: dict[str, Quantity] = field(default_factory=dict)
    _amounts: dict[str, Assumption] = field(default_factory=dict)
    _words: dict[str, Assumption] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Own accelerators draw power somewhere: where is assumed from the start."""
        if self.accelerator is not None:
            self.word("grid")
            self.word("facility")

    def word(self, name: str) -> str:
        """An input of the scenario that is a word, by name."""
        self._chosen(name)
        return self.scenario.word(name)

    def flag(self, name: str) -> bool:
        """An input of the scenario that is on or off, by name."""
        self._chosen(name)
        return self.scenario.flag(name)

    def _chosen(self, name: str) -> None:
        if name not in self._words:
            one = self.scenario.choices[name]
            self._words[name] = Assumption(name, self._shown(name, one.value), one.why, one.given)

    def _shown(self, name: str, value: str | bool) -> str:
        """An input in words; the formats that are served by name."""
        if name == "weight_precision" and self.llm is not None:
            return formats.shown(self.llm, str(value))
        return _word(value)

    def amount(self, name: str) -> Quantity:
        """A numeric input of the scenario, by name."""
        if name not in self._inputs:
            self._inputs[name] = self._read(name)
        return self._inputs[name]

    def number(self, name: str) -> float:
        """A numeric input as a plain number, for what is chosen by it: noted, as another value may choose otherwise."""
        return self.chosen(self.amount(name))

    def within(self, figure: Quantity, most: float) -> bool:
        """Whether a figure is, as expected, no more than that: noted if so, as other inputs may take it beyond."""
        if figure.value > most:
            return False
        self.limits[Limit(figure, most)] = None
        return True

    def chosen(self, figure: Quantity) -> float:
        """The same as `number` of any figure: all inputs that it rests on are noted."""
        self.chosen_by |= figure.keys()
        return figure.value

    def _read(self, name: str) -> Quantity:
        number = self.scenario.amount(name)
        self._amounts[name] = _assumption(name, number)
        read = _figure_once if self.design is ONE_AT_A_TIME else _figure
        return read(name, number, self.design)

    def price(self, key: str, name: str, value: float, unit: str, source: Source) -> Quantity:
        """A listed price, which a reader may change as any input, less discount; key: what it is called among them."""
        listed = given(name, value, unit, design=self.design, basis="list price", sources=(source,), key=f"price_{key}")
        return self.paid(listed)

    def paid(self, listed: Quantity) -> Quantity:
        """What is paid of a list price: less discount and with tax, where there is any."""
        shares = {"discount_share": "discount", "tax_share": "tax"}
        if all(self.number(name) == 0 for name in shares.values()):
            return listed
        given_shares = {key: self.amount(name) for key, name in shares.items()}
        found = derive(f"{listed.name}, paid", listed.unit, money.paid_usd, usd=listed, **given_shares)
        return replace(found, note=listed.note)

    def known(self, name: str, value: float, unit: str, basis: Basis = "published", *sources: Source) -> Quantity:
        """A figure without spread, such as a property of the LLM or the accelerator."""
        return given(name, value, unit, design=self.design, basis=basis, sources=sources)

    def once(self, predict: Callable[..., Predicted], *args: Hashable) -> Predicted:
        """What a predictor says to records and columns: the same as before, while the facts it knows are the same.

        Where only prices or traffic are new, nothing is predicted anew. Of random draws nothing is kept: too large.
        """
        return _predicted(predict, *args) if self.design is ONE_AT_A_TIME else _predict(predict, *args)

    def written(self, growth: Quantity | None = None) -> Quantity:
        """Tokens the LLM writes for an answer: what is seen, `growth` times as long, and what it thinks before."""
        visible = self.amount("output_tokens")
        if growth is not None:
            visible = derive("output", "token", product, tokens=visible, growth=growth)
        if self.number("thinking_tokens") == 0:
            return visible
        return derive("output", "token", sum_of, visible=visible, thinking=self.amount("thinking_tokens"))

    def hour_usd(self, activity: str) -> Quantity:
        """Price of an accelerator-hour; of an owned one with the electricity of what it does, which is its own."""
        return self.usd_per_hour if self.owned is None else self.owned.hour(activity)

    def own(self, price: Price) -> None:
        """Price the accelerators as one's own."""
        tax = self.amount("tax") if self.number("tax") else None
        self.owned = owned(self.own_accelerator(), price, self.amount, self.pue, tax)
        self.usd_per_hour = self.owned.hour("serving")

    def seconds(self, name: str) -> Quantity:
        """An input stated in minutes, in seconds."""
        minute = self.counted("minute", 60.0, "s/min", "by definition")
        return derive(
            name.replace("minutes", "time").replace("_", " "), "s", product, minutes=self.amount(name), minute=minute
        )

    def fact(self, key: str) -> Quantity:
        """A published figure of the fact tables, by its key."""
        found = fact(key)
        return self.known(key, found.value, found.unit, "published", found.source)

    def ranged(self, name: str, found: Fact, unit: str, factor: str) -> Quantity:
        """A published figure that `factor` moves over the range it was published with."""
        return given(
            name,
            found.value,
            unit,
            low=found.low,
            high=found.high,
            factor=factor,
            design=self.design,
            basis="published",
            sources=(found.source,),
        )

    def bytes_per_token(self) -> Quantity:
        """UTF-8 bytes of a token in the scenario's kind of text, as counted [B/token]."""
        found = text_ratio(self.word("text_kind"), self.word("tokenizer"))
        return self.known("bytes per token", found.bytes_per_token, "B/token", "measured", found.source)

    def tokens_per_word(self) -> Quantity:
        """Tokens of a word in the scenario's kind of text, as counted [token/word]."""
        found = text_ratio(self.word("text_kind"), self.word("tokenizer"))
        return self.known("tokens per word", found.tokens_per_word, "token/word", "measured", found.source)

    def zero(self, name: str, unit: str) -> Quantity:
        """A figure that does not arise in this approach."""
        return self.counted(name, 0.0, unit, "nothing of it in this approach")

    def counted(self, name: str, value: float, unit: str, why: str) -> Quantity:
        """A number that is exact: by definition, or because it was chosen or counted; why: which."""
        return given(name, value, unit, design=self.design, basis="analytic", note=why)

    def unknown(self, name: str, unit: str, note: str, key: str = "") -> Quantity:
        """A figure nobody can tell; everything computed from it is unknown too. key: of one that a reader may enter."""
        return given(name, np.nan, unit, design=self.design, note=note, key=key)

    def own_llm(self) -> Architecture:
        """The LLM's shape; NotNamed when only an API was named."""
        if self.llm is None:
            raise NotNamed("this needs an LLM whose shape is known: name one with --model, such as llama-3.1-8b")
        return self.llm

    def own_accelerator(self) -> Accelerator:
        """The accelerator; NotNamed when only an API was named."""
        if self.accelerator is None:
            raise NotNamed("this needs an accelerator: name one with --gpu, such as a100")
        return self.accelerator

    @property
    def trains_here(self) -> bool:
        """Whether an LLM of known shape and accelerators are at hand: that is trained then, whatever API is asked."""
        return self.llm is not None and self.accelerator is not None

    def at_home(self) -> "Question":
        """The same of the LLM on the accelerators at hand, for what is trained and served there beside an API."""
        return replace(self, api=None) if self.api is not None else self

    def cluster(self, count: int) -> Cluster:
        """`count` of the accelerators at hand."""
        return Cluster(self.own_accelerator(), count, min(self.per_node, count), self.host_bytes())

    def host_bytes(self) -> float | None:
        """A machine's own memory, as given, else that of the instance named; None where nobody says [B]."""
        given_gb = self.number("host_memory_gb")
        return given_gb * 1e9 if given_gb else self.machine.host_bytes if self.machine else None

    def params(self) -> Quantity:
        """Parameters of the LLM [1]."""
        llm = self.own_llm()
        return self.known("parameters", transformer.params(llm), "1", llm.basis, *llm.sources)

    def matmul_params(self) -> Quantity:
        """Weights a token is multiplied by [1]."""
        llm = self.own_llm()
        return self.known("weights per token", transformer.matmul_params(llm), "1", llm.basis, *llm.sources)

    def machine_facts(self) -> dict[str, Quantity]:
        """What a predictor knows of the LLM and the accelerator, for the reasons behind its figures."""
        device = self.own_accelerator()
        return {
            "params": self.params(),
            "memory_bandwidth": self.known(
                "memory bandwidth", device.memory_bandwidth_bytes_per_s, "B/s", device.basis, *device.sources
            ),
            "peak": self.known("dense bf16 peak", device.peak("bf16"), "FLOP/s", device.basis, *device.sources),
        }

    def context_tokens(self) -> int | None:
        """The context window of the LLM [token]; None where nobody says."""
        if self.api is not None:
            return self.api.max_input_tokens
        return self.llm.max_context if self.llm else None

    def check_context(self, prompt: Quantity, output: Quantity, remedy: str) -> None:
        """DoesNotFit when a request is expected to be longer than the LLM's context window."""
        limit = self.context_tokens()
        needed = derive("tokens of a request", "token", sum_of, prompt=prompt, output=output)
        if limit is not None and not self.within(needed, limit):
            name = self.api.name if self.api else self.own_llm().name
            raise DoesNotFit(
                f"a request of {needed.value:,.0f} tokens exceeds the {limit:,.0f} that {name} holds: {remedy}"
            )

    def assumptions(self) -> tuple[Assumption, ...]:
        """The scenario inputs used so far, those the user gave first."""
        used = [*self._amounts.values(), *self._words.values()]
        return (*[one for one in used if one.given], *[one for one in used if not one.given])

    def gave(self, name: str) -> bool:
        """Whether a word that was used is the user's."""
        return name in self._words and self._words[name].given


def _predict(predict: Callable[..., Predicted], *args: object) -> Predicted:
    return predict(*(arg.column if isinstance(arg, Quantity) else arg for arg in args))


_predicted = recent(1024)(_predict)


def _figure(name: str, number: Amount, design: Design) -> Quantity:
    return given(
        name.replace("_", " "),
        number.value,
        number.unit,
        low=number.low,
        high=number.high,
        factor=number.factor or None,
        design=design,
        sources=(USER_SOURCE if number.given else SCENARIO_SOURCE,),
        note=number.why,
        key=name,
    )


_figure_once = lru_cache(1024)(_figure)


def _word(value: str | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value or "not set"


@lru_cache(maxsize=1024)
def _assumption(name: str, number: Amount) -> Assumption:
    spread = f" ({number.low:,g} to {number.high:,g})" if number.low is not None and number.high is not None else ""
    shown = f"{number.value:,g}{named(number.unit, number.value)}{spread}"
    return Assumption(name, shown, number.why, number.given)
