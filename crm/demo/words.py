"""The words the demo company is made of. Every web and mail domain ends in `.example`, which nobody can register."""
# ruff: noqa: SIM905 - a list of words reads better as a text

from __future__ import annotations

FIRST_NAMES = tuple(
    "Ada Adrian Aisha Alba Amir Ana Andrea Anton Aylin Beatriz Ben Camille Carlos Chiara Chloe Daniel David Diego Elena "
    "Elif Emma Emre Erik Fatima Felix Freya Gabriel Giulia Grace Hana Hannah Henrik Hugo Ingrid Isabel Ivan Jakub James "
    "Joana Jonas Julia Kai Karin Kenji Lars Laura Lea Leo Liam Lina Lucas Luis Maja Marco Maria Marta Mateo Max Maya Mei "
    "Mia Milan Nadia Nina Noah Nora Oliver Olivia Omar Oscar Paula Pedro Priya Rafael Ravi Rosa Ruth Samira Sara Sofia "
    "Stefan Tariq Thea Theo Tomas Valentina Victor Wei Yara Yuki Zoe".split()
)
LAST_NAMES = tuple(
    "Ahmed Almeida Andersson Baker Bauer Becker Bennett Bernard Bianchi Brown Carter Castillo Chen Clarke Costa Cruz Dahl "
    "Davies Demir Diaz Dubois Eriksen Evans Fernandez Ferrari Fischer Fontaine Foster Garcia Gomez Gray Gupta Haas Hansen "
    "Harris Hoffmann Hughes Ibrahim Ito Jansen Johansson Jones Kaya Keller Khan Kim Kowalski Kruger Kumar Lambert Larsen "
    "Lee Lehmann Lopez Martin Martinez Meyer Miller Moreau Moreno Morgan Mori Murphy Navarro Nguyen Nielsen Novak Nowak "
    "Okafor Oliveira Olsen Parker Patel Pereira Petrov Ramos Reyes Ricci Rivera Romano Rossi Roux Ruiz Santos Sato "
    "Schmidt Schneider Schulz Silva Singh Smit Suzuki Tanaka Taylor Torres Visser Vogel Wagner Walsh Wang Weber Wilson "
    "Winkler Wright Yamamoto Yilmaz Young Zhang Zimmermann".split()
)
TITLES = (
    "Chief executive officer",
    "Chief financial officer",
    "Chief technology officer",
    "Head of procurement",
    "Head of operations",
    "Head of marketing",
    "IT director",
    "Purchasing manager",
    "Operations manager",
    "Project manager",
    "Plant manager",
    "Office manager",
    "Systems engineer",
    "Data analyst",
    "Consultant",
)
DEPARTMENTS = ("Management", "Finance", "IT", "Purchasing", "Operations", "Marketing", "Sales", "Logistics")

COMPANY_ROOTS = tuple(
    "Alder Amber Anchor Apex Arbor Aurora Beacon Birch Bluebird Bridge Bright Canyon Cedar Cinder Clear Cobalt Copper "
    "Coral Crest Delta Dune Ember Falcon Fern Fjord Flint Forge Glacier Granite Harbor Hazel Helix Heron Horizon Indigo "
    "Iris Juniper Kestrel Lark Linden Lumen Maple Meadow Meridian Mistral Nimbus North Oak Onyx Orbit Orchard Otter "
    "Pine Pioneer Polar Prairie Quarry Quartz Raven Redwood River Rowan Saffron Sable Sierra Silver Slate Solstice "
    "Sparrow Spruce Stellar Sterling Summit Swift Tern Terra Thistle Tide Timber Valley Vertex Violet Walnut Wave "
    "Willow Zephyr".split()
)
COMPANY_NOUNS = tuple(
    "Analytics Automation Bakery Bikes Brands Capital Chemicals Clinics Coffee Components Construction Controls Dairy "
    "Data Design Devices Diagnostics Dynamics Electric Energy Engineering Fabrics Farms Films Foods Freight Furniture "
    "Games Garments Glass Health Hotels Instruments Insurance Labs Learning Legal Logistics Machines Marine Materials "
    "Media Metals Mobility Motors Networks Optics Outdoor Packaging Paper Partners Pharma Plastics Power Press Print "
    "Properties Rail Retail Robotics Security Services Software Solar Sports Steel Studios Supplies Systems Textiles "
    "Tools Toys Trading Transport Travel Ventures Water Wines".split()
)
INDUSTRIES = (
    "Agriculture",
    "Automotive",
    "Construction",
    "Consumer goods",
    "Education",
    "Energy",
    "Financial services",
    "Food and beverage",
    "Health care",
    "Hospitality",
    "Logistics",
    "Manufacturing",
    "Media",
    "Professional services",
    "Real estate",
    "Retail",
    "Software",
    "Telecommunications",
)
# city, state, country, first digits of its postal codes and how many follow, first digits of its phone numbers and how
# many follow, legal form of its companies, a street (# where the number goes)
CITIES = (
    ("Berlin", "Berlin", "DE", "10", 3, "+493023125", 3, "GmbH", "Lindenstraße #"),
    ("Hamburg", "Hamburg", "DE", "20", 3, "+494066969", 3, "GmbH", "Hafenstraße #"),
    ("Munich", "Bavaria", "DE", "80", 3, "+498999998", 3, "AG", "Gartenweg #"),
    ("Vienna", "Vienna", "AT", "10", 2, "+4315123", 3, "GmbH", "Ringgasse #"),
    ("Zurich", "Zurich", "CH", "80", 2, "+4144668", 4, "AG", "Seestrasse #"),
    ("Paris", "Île-de-France", "FR", "750", 2, "+33199", 6, "SAS", "# rue des Tilleuls"),
    ("Lyon", "Auvergne-Rhône-Alpes", "FR", "690", 2, "+33465", 6, "SARL", "# quai du Port"),
    ("Madrid", "Madrid", "ES", "280", 2, "+34910", 6, "SL", "Calle del Olmo #"),
    ("Lisbon", "Lisbon", "PT", "10", 2, "+35121", 7, "Lda", "Rua do Cais #"),
    ("Milan", "Lombardy", "IT", "201", 2, "+3902", 7, "SpA", "Via dei Pini #"),
    ("Amsterdam", "North Holland", "NL", "10", 2, "+3120", 7, "BV", "Havenweg #"),
    ("Copenhagen", "Capital Region", "DK", "21", 2, "+453310", 4, "ApS", "Strandvej #"),
    ("Stockholm", "Stockholm", "SE", "111", 2, "+468", 7, "AB", "Björkgatan #"),
    ("Warsaw", "Masovia", "PL", "01", 3, "+4822", 7, "SA", "Lipowa #"),
    ("London", "England", "GB", "EC1A ", 1, "+442079460", 3, "Ltd", "# Harbour Street"),
    ("Manchester", "England", "GB", "M", 2, "+441614960", 3, "Ltd", "# Mill Lane"),
    ("Dublin", "Leinster", "IE", "D0", 1, "+35318", 6, "Ltd", "# Quay Street"),
    ("New York", "NY", "US", "100", 2, "+1212555", 4, "Inc", "# Maple Avenue"),
    ("Austin", "TX", "US", "787", 2, "+1512555", 4, "LLC", "# River Road"),
    ("Chicago", "IL", "US", "606", 2, "+1312555", 4, "Inc", "# Lake Street"),
    ("San Francisco", "CA", "US", "941", 2, "+1415555", 4, "Inc", "# Hill Street"),
    ("Seattle", "WA", "US", "981", 2, "+1206555", 4, "LLC", "# Pine Street"),
    ("Toronto", "ON", "CA", "M5V ", 1, "+1416555", 4, "Inc", "# King Street"),
    ("Sydney", "NSW", "AU", "20", 2, "+6125550", 4, "Pty Ltd", "# Harbour Road"),
    ("Tokyo", "Tokyo", "JP", "100", 4, "+8135", 7, "KK", "# Sakura-dori"),
    ("Singapore", "", "SG", "01", 4, "+6561", 6, "Pte Ltd", "# Orchard Lane"),
)

# sku, name, family, type, unit, list price, cost, billing period
PRODUCTS = (
    ("PL-100", "Platform starter", "Platform", "subscription", "seat", 240, 40, "yearly"),
    ("PL-200", "Platform team", "Platform", "subscription", "seat", 480, 70, "yearly"),
    ("PL-300", "Platform enterprise", "Platform", "subscription", "seat", 900, 120, "yearly"),
    ("AD-110", "Analytics add-on", "Add-ons", "subscription", "seat", 120, 15, "yearly"),
    ("AD-120", "Mobile add-on", "Add-ons", "subscription", "seat", 60, 10, "yearly"),
    ("SV-010", "Onboarding", "Services", "service", "day", 1400, 700, "one_time"),
    ("SV-020", "Integration", "Services", "service", "day", 1600, 800, "one_time"),
    ("SV-030", "Training", "Services", "service", "day", 1200, 500, "one_time"),
    ("SV-040", "Premium support", "Services", "service", "month", 650, 200, "monthly"),
    ("HW-500", "Gateway device", "Hardware", "goods", "piece", 780, 410, "one_time"),
    ("HW-510", "Sensor kit", "Hardware", "goods", "piece", 210, 95, "one_time"),
    ("BN-900", "Launch bundle", "Bundles", "bundle", "piece", 9500, 4200, "one_time"),
)
# What a deal is about.
OFFERS = (
    "platform rollout",
    "team licenses",
    "renewal",
    "pilot",
    "sensor network",
    "analytics project",
    "integration",
    "support contract",
    "second site",
    "expansion",
)
TAGS = {
    "key account": "#b45309",
    "newsletter": "#0f766e",
    "partner network": "#4338ca",
    "reference": "#15803d",
    "trade fair": "#be185d",
    "at risk": "#b91c1c",
    "upsell": "#1d4ed8",
}
NEXT_STEPS = (
    "Send the proposal",
    "Call about open questions",
    "Meet the decision maker",
    "Agree on the scope",
    "Wait for the budget round",
    "Show the new release",
    "Get the contract signed",
)
NEEDS = (
    "Wants to replace spreadsheets",
    "Old system is out of support next year",
    "Several sites need one view",
    "Looks for better reports",
    "Growing team, needs structure",
)
# subject ending (after the kind of activity), by type
CALLS = ("First call", "Follow-up call", "Call about pricing", "Call about the contract", "Check-in call")
MAILS = ("Introduction", "Sent brochure", "Sent proposal", "Answered questions", "Sent revised offer")
MEETINGS = ("Kick-off meeting", "Scoping workshop", "Quarterly review", "Contract meeting", "On-site visit")
DEMOS = ("Product demo", "Demo for the team", "Demo of the analytics add-on", "Technical deep dive")
TASKS = (
    "Prepare the proposal",
    "Call back",
    "Send contract",
    "Check credit limit",
    "Update contact details",
    "Plan the next meeting",
    "Send reference list",
    "Ask for feedback",
)
NOTES = (
    "Budget is **approved** for this year; the decision lies with the head of operations.",
    "They compare us with two others.\n\n- price matters less than support\n- a pilot would help",
    "Prefers mail over phone. *Do not call on Fridays.*",
    "Renewal is due in spring; ask about a second site then.",
    "Met at the trade fair, very interested in the sensor kit.",
    "Legal wants changes in the contract:\n\n1. payment within 45 days\n2. data stays in the country",
    "Happy with the onboarding and willing to be a **reference**.",
    "New management since last month, check who decides now.",
)
COMPETITORS = ("Nordic Suite", "Bluestone", "Kite CRM", "In-house solution")

# The admin's own customers: name, type, industry, web domain, city, country, who to talk to, their title, phone.
ADMIN_CUSTOMERS = (
    (
        *("Lindholm Shipyard", "customer", "Manufacturing", "lindholmshipyard.example", "Hamburg", "DE"),
        *("Greta", "Lindholm", "Chief executive officer", "+494066969001"),
    ),
    (
        *("Quayside Hospitals", "prospect", "Health care", "quaysidehospitals.example", "Dublin", "IE"),
        *("Conor", "Byrne", "Head of procurement", "+35318001002"),
    ),
)
# Their deals, in the same order: what about, amount, stage, days until it closes, next step.
ADMIN_DEALS = (
    ("framework agreement", "86000.00", "negotiation", 21, "Get the contract signed"),
    ("platform rollout", "42500.00", "proposal", 48, "Meet the decision maker"),
)
# What the admin has to do: subject, priority, status, days from today, place of the deal or none.
ADMIN_TASKS = (
    ("Answer the question about payment terms", "high", "in_progress", -3, 0),
    ("Approve the discount for the second site", "urgent", "not_started", -1, 0),
    ("Call Conor Byrne about the tender", "high", "not_started", 0, 1),
    ("Look through this week's new leads", "normal", "not_started", 0, None),
    ("Prepare the quarterly review", "normal", "in_progress", 1, None),
    ("Send the revised framework agreement", "high", "not_started", 2, 0),
    ("Plan the kick-off in Dublin", "normal", "waiting", 5, 1),
    ("Renew the certificates of the warehouse", "low", "not_started", 12, None),
)

# name in the e-mail address, first name, last name, role, whom they report to
PEOPLE = (
    ("admin", "Ada", "Lindqvist", "admin", ""),
    ("manager", "Marcus", "Weber", "manager", "admin"),
    ("helena.costa", "Helena", "Costa", "manager", "admin"),
    ("sales", "Sam", "Okafor", "sales", "manager"),
    ("lena.fischer", "Lena", "Fischer", "sales", "manager"),
    ("tomas.novak", "Tomas", "Novak", "sales", "manager"),
    ("yuki.tanaka", "Yuki", "Tanaka", "sales", "manager"),
    ("grace.walsh", "Grace", "Walsh", "sales", "helena.costa"),
    ("omar.khan", "Omar", "Khan", "sales", "helena.costa"),
    ("julia.romano", "Julia", "Romano", "sales", "helena.costa"),
    ("diego.ramos", "Diego", "Ramos", "lead qualifier", "helena.costa"),
    ("viewer", "Vera", "Larsen", "viewer", "admin"),
)
