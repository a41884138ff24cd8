"""A page's record -> the same with evidence, breaches and reasons to look at it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.data import Breach
from pipeline.reasons import review_reasons
from pipeline.rules import check_rules, rules_of
from pipeline.trust.confidence import PageSupport, load_calibration, with_confidence
from pipeline.trust.evidence import find_evidence
from pipeline.trust.logprobs import field_logprobs
from pipeline.trust.windows import best_shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from pipeline.config import TrustConfig
    from pipeline.data import FieldEvidence, Json, PageRecord, TextLine
    from pipeline.rules import Outcome
    from pipeline.trust.windows import NumberedText

log = logging.getLogger(__name__)


class Trust:
    """Assesses records of one extraction that one engine read. Holds no state of pages."""

    def __init__(
        self, model: type[BaseModel], config: TrustConfig, *, engine: str, plain_text_field: str | None = None
    ) -> None:
        """Load the engine's calibration.

        Args:
            engine: as in the rows: "ocr", "vllm".

        Raises:
            ConfigError: a rule of the model or the calibration cannot be used.
        """
        self._model = model
        self._rules = rules_of(model)
        self._config = config
        self._plain_text_field = plain_text_field
        self._calibration = load_calibration(engine, config.calibration)

    def assess(self, page: PageRecord, lines: Sequence[TextLine], others: Sequence[NumberedText] = ()) -> PageRecord:
        """Return a page with what can be said of its record.

        Args:
            lines: the page's text, boxes on the image that the row tells of; none where nobody could read it.
            others: the same of pages that were read together with it, whose record it is, too.
        """
        if page.record is None:
            return page
        try:
            return self.reviewed(self._assessed(page, page.record, [(page.page_number or 1, lines), *others]))
        except Exception:  # a page that was read is not lost for a fault in what looks at it afterwards
            where = {"document": page.document.ref.uri, "page": page.page_number}
            log.exception("a page could not be assessed; this is a fault in Pagemill, please report it", extra=where)
            return page

    def reviewed(self, page: PageRecord) -> PageRecord:
        """Return a page that was assessed, perhaps by another run, with the reasons that hold in this one."""
        reasons = review_reasons(page.evidence, page.breaches, min_confidence=self._config.min_confidence)
        return page if reasons == page.review_reasons else replace(page, review_reasons=reasons)

    def _assessed(self, page: PageRecord, record: Json, texts: Sequence[NumberedText]) -> PageRecord:
        outcomes = check_rules(self._rules, record, whole=page.document.num_pages == len(texts))
        breaches = tuple(Breach(one.rule, one.message, one.paths) for one in outcomes if one.message is not None)
        found = self._evidence(page, record, texts, outcomes) if self._config.evidence else []
        evidence = best_shown(found) if len(found) > 1 else found[0] if found else ()
        return replace(page, evidence=evidence, breaches=breaches)

    def _evidence(
        self, page: PageRecord, record: Json, texts: Sequence[NumberedText], outcomes: Sequence[Outcome]
    ) -> list[tuple[FieldEvidence, ...]]:
        """Return the evidence of each page for itself; what the output's tokens say is the same for all."""
        plain_text_field = self._plain_text_field
        logprobs = field_logprobs(page.token_logprobs, page.raw_text or "", plain_text_field=plain_text_field)
        return [
            with_confidence(
                find_evidence(record, self._model, lines, page_number=number, plain_text_field=plain_text_field),
                page=PageSupport(lines, self._model),
                outcomes=outcomes,
                logprobs=logprobs,
                calibration=self._calibration,
            )
            for number, lines in texts
        ]
