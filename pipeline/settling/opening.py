"""What settles the pages of a run, by its configuration."""

from __future__ import annotations

from pipeline.config import RunConfig
from pipeline.data import PageFacts
from pipeline.doubts import Doubts
from pipeline.engines.base import EngineInfo
from pipeline.extraction import Extraction
from pipeline.identity import reads_text_layers
from pipeline.judge import Judge
from pipeline.planning import Reading, engine_task
from pipeline.settling.seams import Listener, Stop
from pipeline.settling.settling import Settling
from pipeline.skip import LayerReader, Shortcuts
from pipeline.tally import Tally
from pipeline.tries import Ladder
from pipeline.trust.assessing import Trust
from pipeline.trust.reading import PageTexts


def page_facts(config: RunConfig, extraction: Extraction, engine: EngineInfo) -> PageFacts:
    """Return what is to be found out about every page; text layers are read, or values are held against them."""
    reads_layers = reads_text_layers(config, extraction, engine)
    return PageFacts(
        text_layer=engine.engine == "ocr" or reads_layers or _reads_texts(config, engine),
        digest=config.skip.duplicates,
        is_blank=config.skip.blank,
    )


def _reads_texts(config: RunConfig, engine: EngineInfo) -> bool:
    return config.trust.evidence and engine.engine == "vllm"


def open_trust(config: RunConfig, extraction: Extraction, engine: EngineInfo) -> Trust:
    """Return what assesses the records of a run.

    Raises:
        ConfigError: a rule of the extraction or the calibration cannot be used.
    """
    return Trust(extraction.model, config.trust, engine=engine.engine, plain_text_field=extraction.plain_text_field)


def open_settling(
    config: RunConfig, reading: Reading, trust: Trust, *, ladder: Ladder, stop: Stop, tally: Tally, listener: Listener
) -> Settling:
    """Return what settles the pages of a run; nothing is started before there is a page."""
    extraction, engine = reading.extraction, reading.choice.info
    reads_layers = reads_text_layers(config, extraction, engine)
    shortcuts = Shortcuts(
        config.skip,
        extraction,
        config.date_order,
        assess=lambda record: trust.assess(record, record.lines),
        settle=listener.page_skipped,
        layers=LayerReader(config.ocr, engine_task(extraction, config)) if reads_layers else None,
    )
    return Settling(
        shortcuts,
        Judge(extraction, ladder, config.date_order),
        trust,
        Doubts(config.trust.retry, ladder),
        texts=PageTexts(config.trust, config.ocr) if _reads_texts(config, engine) else None,
        stop=stop,
        tally=tally,
        settle=listener.page_settled,
    )
