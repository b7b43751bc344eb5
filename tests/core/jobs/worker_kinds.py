"""For `celery worker --include`: the tests' kinds in a real worker."""

import django

django.setup()

from tests.core.jobs import kinds  # noqa: E402

kinds.install()
