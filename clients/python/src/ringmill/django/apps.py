from django.apps import AppConfig


class RingmillConfig(AppConfig):
    name = "ringmill.django"
    label = "ringmill"
    verbose_name = "Ringmill"
