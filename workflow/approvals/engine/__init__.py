"""Pure computing of approvals."""
