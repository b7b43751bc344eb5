"""Messages to people: mail by an outbox, and notifications inside the product.

`operations.send_mail` and `operations.notify` write rows in the business transaction; a job sends what was committed. Other
apps plug in through `kinds.NOTIFICATION_KINDS`, `transports.TRANSPORTS` and `transports.SUPPRESSIONS`.
"""
