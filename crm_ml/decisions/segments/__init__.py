"""Segments: who is in which, by RFM scores, a policy of rules or a membership score, and who moves where."""

from crm_ml.decisions.segments.history import SegmentHistory, segment_history
from crm_ml.decisions.segments.migration import change_rates, flows, head_counts, migration, migration_shares
from crm_ml.decisions.segments.policy import SegmentPolicy
from crm_ml.decisions.segments.rfm import SEGMENT_TABLE, RFMSegments, SegmentRule, TiedScoresWarning
from crm_ml.decisions.segments.score import MembershipScore, membership_features
from crm_ml.decisions.segments.segment import Segment

__all__ = [
    "SEGMENT_TABLE",
    "MembershipScore",
    "RFMSegments",
    "Segment",
    "SegmentHistory",
    "SegmentPolicy",
    "SegmentRule",
    "TiedScoresWarning",
    "change_rates",
    "flows",
    "head_counts",
    "membership_features",
    "migration",
    "migration_shares",
    "segment_history",
]
