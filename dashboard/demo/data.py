"""The demo's content: its steps, the later releases, one person's story, and the names of the others."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.onboarding.carryover import Status
from dashboard.onboarding.steps import Fields

MAYA = "staff:maya@demo.example"
ADA = "staff:ada@demo.example"


@dataclass(frozen=True, slots=True)
class StepPlan:
    """A step as first released, `published` days from now (negative). The shares are of all people, 0 to 1.

    `reached`: done or skipped; `skipped`: of these; `stuck`: the share beyond them who are in progress.
    """

    step_id: str
    fields: Fields
    reached: float
    skipped: float
    stuck: float
    published: float = -71.0
    by: str = MAYA


@dataclass(frozen=True, slots=True)
class Chapter:
    """A release `days` from now (fields None: a rollback). Of those it resets, the share `again` starts again within
    that many days, and `stale` more people save once from a page that they had opened before.
    """

    days: float
    step_id: str
    fields: Fields | None
    note: str
    by: str = MAYA
    again: float = 0.0
    within: float = 1.0
    stale: int = 0


STEPS = (
    StepPlan(
        "verify-email",
        Fields(
            "Verify your email", "Open the link in the message we sent, so that we can reach you.", 10, "/account/email"
        ),
        *(0.905, 0.0, 0.02),
    ),
    StepPlan(
        "complete-profile",
        Fields(
            "Complete your profile",
            "Add your name, your role and a picture your team will know.",
            10,
            "/account/profile",
        ),
        *(0.82, 0.02, 0.04),
    ),
    StepPlan(
        "invite-team",
        Fields("Invite your team", "Ask the people you work with to join.", 15, "/team/invite"),
        *(0.74, 0.12, 0.05),
    ),
    StepPlan(
        "connect-data-source",
        Fields("Connect a data source", "Bring in your numbers from a spreadsheet or a database.", 15, "/data/connect"),
        *(0.62, 0.05, 0.06),
    ),
    StepPlan(
        "setup-payments",
        Fields("Payment set-up", "Connect your bank account.", 20, "/settings/payments"),
        *(0.47, 0.07, 0.14),
    ),
    StepPlan(
        "install-mobile-app",
        Fields("Install the mobile app", "Have your reports with you, and be told when a number moves.", 10, "/apps"),
        *(0.47, 0.30, 0.07),
    ),
    StepPlan(
        "create-first-report",
        Fields("Create your first report", "Choose a template, or start from an empty page.", 15, "/reports/new"),
        *(0.37, 0.04, 0.07),
    ),
    StepPlan(
        "book-kickoff-call",
        Fields(
            "Book a kick-off call",
            "Half an hour with us, to answer what is still open.",
            5,
            "https://calls.example/kick-off",
        ),
        *(0.36, 0.30, 0.07),
    ),
)

HISTORY = (
    Chapter(
        -21.2,
        "setup-payments",
        Fields(
            "Set up payments",
            "Connect your bank account and confirm two small test payments.",
            20,
            "/settings/payments",
        ),
        "New payment provider, so bank accounts are checked again.",
        again=0.09,
        within=1.9,
    ),
    Chapter(-19.0, "setup-payments", None, "The bank check was down for a day and people got stuck.", by=ADA),
    Chapter(
        -12.3,
        "setup-payments",
        Fields("Set up payments", "Connect your bank account so that customers can pay you.", 20, "/settings/payments"),
        "Bank check is back after the outage, with clearer wording.",
        again=0.75,
        within=9.0,
    ),
    Chapter(
        -44 / 1440,
        "connect-data-source",
        Fields("Connect a data source", "Bring in your numbers through the new connector.", 15, "/data/connectors"),
        "The old connector stops on 1 December, so everyone connects again.",
        again=0.05,
        within=40 / 1440,
        stale=21,
    ),
)

DRAFT = Chapter(
    -4 / 1440,
    "setup-payments",
    Fields(
        "Set up payments and payouts",
        "Connect a bank account so that customers can pay you, and choose when payouts reach you.",
        30,
        "/settings/payments/start",
    ),
    "",
)

AMARA: tuple[tuple[float, str, Status, str], ...] = (
    (-28.9, "verify-email", "done", ""),
    (-28.8, "complete-profile", "done", ""),
    (-26.0, "invite-team", "in_progress", ""),
    (-22.4, "invite-team", "done", ""),
    (-22.3, "setup-payments", "in_progress", ""),
    (-8.1, "connect-data-source", "in_progress", ""),
    (-7.2, "connect-data-source", "skipped", ""),
    (-6.1, "connect-data-source", "in_progress", "Asked us to switch it back on."),
    (-5.0, "setup-payments", "in_progress", ""),
    (-6 / 1440, "connect-data-source", "in_progress", "On the phone with her, entering the new credentials."),
    (-1 / 1440, "install-mobile-app", "skipped", "Works at a desk, has no use for the app."),
)

COMMENTS = (
    "Done together on the phone.",
    "Confirmed by email.",
    "The button did not work for them, so I set it by hand.",
    "Their administrator did this before they joined.",
    "Asked for it in the chat.",
    "Moved over from their old account.",
)


def _words(names: str) -> tuple[str, ...]:
    return tuple(names.split())


FIRST = _words(
    """Aaliyah Abena Adam Adriana Agnieszka Ahmed Aiko Aisha Alejandro Alice Amelie Amina Anders Anika Anna Annika Anton
    Arjun Ayumi Beatriz Ben Bilal Birgit Björn Bruno Camille Carlos Carmen Catarina Chen Chiara Chidi Chloé Clara Dana
    Daniel Daniela Darius David Deepa Diego Dina Dmitri Edith Eduardo Elena Elias Elif Emeka Emma Erik Esra Esther
    Farid Fatima Felix Fernanda Finn Francesca Gabriel Georgia Giulia Grace Greta Gustavo Hana Hannah Hassan Helena
    Henrik Hugo Ibrahim Ida Ines Ingrid Isaac Isabel Ivan Jakub James Jana Javier Jin João Johan Jonas Julia Kaito
    Karim Kasia Katarina Kenji Khadija Kofi Lara Lars Laura Layla Leila Leo Liam Lina Linh Lucas Lucía Luis Magdalena
    Mai Malik Marco Maria Marta Mateo Matilda Mehmet Mei Mia Miguel Mila Milan Minh Miriam Mohammed Nadia Naomi Nia
    Nikolai Nils Nina Noah Noor Nora Olga Oliver Oluwaseun Omar Oscar Paula Pedro Peter Petra Priya Rafael Rahul Ravi
    Rosa Ruth Sakura Salma Samir Sara Selin Simon Sofia Soo-jin Stefan Sunita Tariq Teresa Thabo Thandiwe Theo Thomas
    Tomasz Tuan Uma Valentina Vera Victor Wanjiru Wei Yara Yasmin Yuki Yusuf Zainab Zanele Zoe Zofia"""
)
LAST = _words(
    """Abdi Adeyemi Ahmed Almeida Andersen Andersson Bakker Banerjee Bauer Becker Berg Bianchi Boateng Brooks Brown
    Carter Castro Chen Choi Cohen Costa Cruz Da-Silva Dahl Das Demir Diallo Dias Diaz Dubois Dvořák Eriksen Fernandes
    Fernández Ferrari Fischer Fofanah Fournier Fuentes García Gomes González Green Gupta Haddad Hall Hansen Hernández
    Hoffmann Holm Horvat Hughes Ibrahim Ivanov Iyer Jansen Jensen Johansson Jones Jung Kamau Kaplan Kaya Keller Khan
    Kim Kiplagat Kovács Kowalczyk Kowalski Kumar Larsen Lee Lefebvre Lewis Li Lindberg Liu Lopez Mahlangu Mbeki Mensah
    Meyer Molina Moreau Moreno Morris Mwangi Müller Nakamura Ndiaye Nguyen Nielsen Novak Nowak Nwosu O’Brien Okonkwo
    Olsen Osei Owusu Park Patel Pereira Petrov Phiri Popescu Rahman Ramos Rao Reyes Ricci Rivera Romano Rossi Ruiz
    Russo Saito Salazar Santos Sato Schmidt Schneider Shah Sharma Silva Singh Sithole Smith Sousa Suzuki Svensson
    Takahashi Tan Tanaka Taylor Torres Tran Tshabalala Van-Dijk Vargas Vasquez Vogel Walker Wang Weber White Williams
    Wilson Wong Wright Yamamoto Yilmaz Young Zhang Zhou Zulu"""
)
WORKPLACES = (
    *("atlasfreight", "brightharbor", "carterandsons", "cloudberry", "coralroad", "fernworks", "halden", "kavaktea"),
    *("lanternbooks", "lumen", "mizuno-ceramics", "nordlys", "orchardlane", "papercrane", "pontevieja", "quarrystone"),
    *("redmaple", "saltmarsh", "tidewater", "umbra", "verdant", "willowbank"),
)
