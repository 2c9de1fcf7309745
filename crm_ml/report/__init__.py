"""The self-contained HTML report: finished frames in, one page out."""

from crm_ml.report.content import Headline, Note, PlanSummary, ReportContent
from crm_ml.report.page import write_report

__all__ = ["Headline", "Note", "PlanSummary", "ReportContent", "write_report"]
