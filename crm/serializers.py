"""Bodies and answers of actions: shapes that are no plain entities."""

from __future__ import annotations

from rest_framework import serializers

from core.rest.serializers import StrictSerializer
from crm.models.choices import LeadStatus
from crm.operations import Conversion


class _Versioned(StrictSerializer):
    expected_version = serializers.IntegerField(
        required=False, min_value=1, max_value=2**31 - 1, help_text="The version that was read, as If-Match."
    )


class NoBody(_Versioned):
    pass


class MoveInput(_Versioned):
    stage = serializers.UUIDField()
    lost_reason = serializers.UUIDField(required=False)
    lost_notes = serializers.CharField(required=False, allow_blank=True, max_length=10_000)


class LoseInput(_Versioned):
    lost_reason = serializers.UUIDField()
    lost_notes = serializers.CharField(required=False, allow_blank=True, max_length=10_000)


class ReopenInput(_Versioned):
    stage = serializers.UUIDField(
        required=False, help_text="An open stage; else the one the deal was closed from."
    )


class AssignInput(_Versioned):
    owner = serializers.UUIDField()


class DisqualifyInput(_Versioned):
    reason = serializers.UUIDField(required=False, help_text="One of the lost reasons for leads.")
    status_reason = serializers.CharField(required=False, allow_blank=True, max_length=255)


class ConvertInput(_Versioned):
    account = serializers.UUIDField(
        required=False, help_text="Link this account; else one of the same name or web domain, or a new one."
    )
    contact = serializers.UUIDField(
        required=False, help_text="Link this contact; else one with the same e-mail address, or a new one."
    )
    create_deal = serializers.BooleanField(required=False, default=True)
    deal_name = serializers.CharField(required=False, allow_blank=True, max_length=255)
    deal_amount = serializers.DecimalField(
        required=False,
        max_digits=18,
        decimal_places=2,
        min_value=0,
        help_text="Else the lead's estimated value.",
    )
    close_date = serializers.DateField(required=False, help_text="Else the end of the quarter.")
    pipeline = serializers.UUIDField(required=False)
    stage = serializers.UUIDField(required=False)
    converted_status = serializers.ChoiceField(required=False, choices=[LeadStatus.CONVERTED.value])
    overwrite_source = serializers.BooleanField(required=False, default=False)
    dry_run = serializers.BooleanField(required=False, default=False)


class ConvertOutput(serializers.Serializer[Conversion]):
    lead = serializers.UUIDField(source="lead_id")
    account = serializers.UUIDField(source="account_id", allow_null=True)
    contact = serializers.UUIDField(source="contact_id", allow_null=True)
    deal = serializers.UUIDField(source="deal_id", allow_null=True)
    creates_account = serializers.BooleanField(help_text="Made anew, not linked.")
    creates_contact = serializers.BooleanField(help_text="Made anew, not linked.")
    creates_deal = serializers.BooleanField()
    repeated = serializers.BooleanField(help_text="The lead was converted before; this is what came of it.")
