"""The columns of the file that everybody imports, and the fields they go to."""

COLUMNS = {
    "Salutation": "salutation",
    "First": "first_name",
    "Last": "last_name",
    "Job": "title",
    "Department": "department",
    "E-mail": "email",
    "Phone": "phone",
    "Mobile": "mobile",
    "Source": "lead_source",
    "Stage": "lifecycle_stage",
    "Born": "birth_date",
    "Language": "preferred_language",
    "Street": "mailing_street",
    "City": "mailing_city",
    "State": "mailing_state",
    "ZIP": "mailing_postal_code",
    "Country": "mailing_country",
    "Notes": "description",
}
