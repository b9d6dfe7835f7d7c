"""F2, Temperature and distillation: real logits at many temperatures, and small students of softened answers."""

from pages.shared.lesson import Lesson
from pages.shared.training import Training
from pages.training import distillation, temperature_view
from pages.training.distillation_words import LOOK_FOR, TEMPERATURE, VIEWS

lesson = Lesson("F2")
lesson.header(LOOK_FOR)
view = lesson.view(VIEWS)
if view == TEMPERATURE:
    temperature_view.show(lesson)
else:
    distillation.show(lesson, Training("F2"), view)
