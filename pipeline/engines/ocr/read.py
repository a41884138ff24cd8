"""Reads the text of a page image with RapidOCR on one CPU thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.data import Box
from pipeline.engines.ocr.layout import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]


class PageReader:
    """RapidOCR's detector and recogniser on one thread; loading takes about a second."""

    def __init__(self) -> None:
        from rapidocr import RapidOCR

        ocr = RapidOCR(
            params={
                "Global.log_level": "critical",
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )
        self._detector = ocr._load_det_model()
        self._recogniser = ocr._load_rec_model()
        self._recogniser.rec_image_shape = [3, 48, 48]

    def read(self, pixels: Pixels) -> list[Run]:
        import cv2
        from rapidocr.ch_ppocr_rec import TextRecInput
        from rapidocr.utils.process_img import get_rotate_crop_image

        image = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        found = self._detector(image)
        if found.boxes is None:
            return []
        crops = [get_rotate_crop_image(image, box.copy()) for box in found.boxes]
        out = self._recogniser(TextRecInput(img=crops, return_word_box=False))
        runs = []
        for quad, text, score in zip(found.boxes, out.txts, out.scores):
            if score < 0.5 or not text.strip():
                continue
            xs, ys = quad[:, 0], quad[:, 1]
            dx = float(quad[1, 0] - quad[0, 0])
            slope = float(quad[1, 1] - quad[0, 1]) / dx if dx > 0 else 0.0
            runs.append(Run(text, Box(*map(float, (xs.min(), ys.min(), xs.max(), ys.max()))), float(score), slope))
        return runs
