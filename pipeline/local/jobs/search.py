"""Which hyperparameters to try next: SageMaker's tuning strategies, done by Optuna."""

from __future__ import annotations

import warnings
from contextlib import contextmanager

from pipeline.local.jobs import JobFailed
from pipeline.local.jobs.ranges import load_optuna

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    import optuna

    from pipeline.local.jobs.ranges import Range

STRATEGIES = ("Bayesian", "Random", "Grid", "Hyperband")
_MOST_RANDOM_TRIALS = 10  # Optuna's own number of random trials before its model sets in


class Search:
    """One study. `ask` draws, `report` follows a trial, `tell` ends it."""

    def __init__(
        self,
        ranges: list[Range],
        strategy: str,
        *,
        maximize: bool,
        seed: int | None,
        most: int | None,
        parallel: int,
        resources: tuple[int, int] | None = None,
    ) -> None:
        """`most`: how many trials at most; `resources`: Hyperband's least and most epochs. Raises JobFailed."""
        self._optuna = load_optuna()
        self.ranges = {item.name: item for item in ranges}
        self._seen: set[tuple[str, ...]] = set()
        self._points = self._grid(seed) if strategy == "Grid" else None
        startup = _MOST_RANDOM_TRIALS if most is None else min(_MOST_RANDOM_TRIALS, max(3, most // 3))
        with _quiet():
            self._study = self._optuna.create_study(
                study_name="tuning",  # Hyperband assigns its brackets by this name
                direction="maximize" if maximize else "minimize",
                sampler=self._sampler(strategy, seed, startup, parallel),
                pruner=self._pruner(strategy, resources),
            )

    def _sampler(self, strategy: str, seed: int | None, startup: int, parallel: int) -> Any:
        samplers = self._optuna.samplers
        match strategy:
            case "Bayesian" | "Hyperband":
                # TPE: the GP sampler would need torch in the runner
                return samplers.TPESampler(seed=seed, n_startup_trials=startup, constant_liar=parallel > 1)
            case "Random" | "Grid":
                return samplers.RandomSampler(seed=seed)
        raise JobFailed(f"ClientError: Strategy {strategy!r} is none of {', '.join(STRATEGIES)}")

    def _pruner(self, strategy: str, resources: tuple[int, int] | None) -> Any:
        if strategy != "Hyperband":
            return self._optuna.pruners.NopPruner()
        least, most = resources or (1, 0)
        return self._optuna.pruners.HyperbandPruner(min_resource=least, max_resource=most or "auto", reduction_factor=3)

    def _grid(self, seed: int | None) -> Iterator[tuple[str, ...]]:
        """Every combination in a random order. Optuna's GridSampler stops the study, which ask-and-tell forbids."""
        import itertools
        import random

        points = list(itertools.product(*(item.values for item in self.ranges.values())))
        random.Random(seed).shuffle(points)
        return iter(points)

    def ask(self) -> tuple[optuna.trial.Trial, dict[str, str]]:
        """The next trial and its hyperparameters; with Grid the next combination that is not known yet."""
        if self._points is not None:
            point = next(point for point in self._points if point not in self._seen)
            return self.again(dict(zip(self.ranges, point, strict=True)))
        return self._ask()

    def _ask(self) -> tuple[optuna.trial.Trial, dict[str, str]]:
        with _quiet():
            trial = self._study.ask({name: item.distribution for name, item in self.ranges.items()})
        texts = {name: item.text(trial.params[name]) for name, item in self.ranges.items()}
        self._seen.add(tuple(texts.values()))
        return trial, texts

    def again(self, texts: Mapping[str, str]) -> tuple[optuna.trial.Trial, dict[str, str]]:
        """A trial with given hyperparameters, as of one that a killed runner had begun."""
        self._study.enqueue_trial({name: item.drawn(texts[name]) for name, item in self.ranges.items()})
        return self._ask()

    def report(self, trial: optuna.trial.Trial, value: float, epoch: int) -> bool:
        """Takes in a trial's objective after an epoch; returns whether the strategy would rather end it."""
        trial.report(value, epoch)
        with _quiet():
            return bool(trial.should_prune())

    def tell(self, trial: optuna.trial.Trial, value: float | None, stopped: bool) -> None:
        """`value`: the final objective, None if there is none."""
        states = self._optuna.trial.TrialState
        if value is None:
            self._study.tell(trial, state=states.FAIL)
        elif stopped:
            self._study.tell(trial, state=states.PRUNED)
        else:
            self._study.tell(trial, value)

    def learn(self, texts: Mapping[str, str], value: float | None, is_own: bool) -> bool:
        """Takes in a trial that ran before; False if it does not fit the ranges. `is_own`: Grid need not repeat it."""
        try:
            params = {name: item.drawn(texts[name]) for name, item in self.ranges.items()}
        except (KeyError, ValueError):
            return False
        states = self._optuna.trial.TrialState
        self._study.add_trial(
            self._optuna.trial.create_trial(
                params=params,
                distributions={name: item.distribution for name, item in self.ranges.items()},
                value=value,
                state=states.FAIL if value is None else states.COMPLETE,
            )
        )
        if is_own:
            self._seen.add(tuple(texts[name] for name in self.ranges))
        return True


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna calls constant_liar experimental, in a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
