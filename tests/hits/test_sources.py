"""Referrers and campaign parameters made into sources and channels."""

from __future__ import annotations

import json
from importlib.resources import files
from time import process_time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_tracking.hits.sites import is_spam
from codex_tracking.hits.sources import campaign_of, source_of
from codex_tracking.hits.text import UNFIT

HOST = "shop.example"
ANY_TEXT = st.text(st.characters(), max_size=300)


@pytest.mark.parametrize(
    ("referrer", "source", "channel"),
    [
        ("", "", "direct"),
        ("https://www.google.com/", "Google", "search"),
        ("https://www.google.de/search?q=x", "Google", "search"),
        ("https://www.google.co.uk/", "Google", "search"),
        ("https://www.google.com.br/", "Google", "search"),
        ("https://images.google.fr/", "Google", "search"),
        ("https://news.google.com/", "Google News", "referral"),
        ("https://docs.google.com/document/d/1", "Google Docs", "referral"),
        ("https://mail.google.com/", "Gmail", "email"),
        ("https://gemini.google.com/", "Gemini", "ai"),
        ("android-app://com.google.android.googlequicksearchbox/", "Google", "search"),
        ("android-app://com.google.android.gm/", "Gmail", "email"),
        ("android-app://com.linkedin.android/", "LinkedIn", "social"),
        ("android-app://com.reddit.frontpage/", "Reddit", "social"),
        ("android-app://org.example.reader/", "org.example.reader", "referral"),
        ("https://www.bing.com/", "Bing", "search"),
        ("https://edgeservices.bing.com/", "Copilot", "ai"),
        ("https://duckduckgo.com/", "DuckDuckGo", "search"),
        ("https://search.yahoo.com/", "Yahoo!", "search"),
        ("https://mail.yahoo.com/", "Yahoo! Mail", "email"),
        ("https://yandex.ru/clck/jsredir", "Yandex", "search"),
        ("https://www.baidu.com/link", "Baidu", "search"),
        ("https://www.ecosia.org/", "Ecosia", "search"),
        ("https://search.brave.com/", "Brave", "search"),
        ("https://kagi.com/", "Kagi", "search"),
        ("https://m.facebook.com/", "Facebook", "social"),
        ("https://l.facebook.com/l.php?u=x", "Facebook", "social"),
        ("http://lm.facebook.com/", "Facebook", "social"),
        ("https://l.instagram.com/", "Instagram", "social"),
        ("https://t.co/AbC", "X", "social"),
        ("https://out.reddit.com/", "Reddit", "social"),
        ("https://old.reddit.com/r/django/", "Reddit", "social"),
        ("https://news.ycombinator.com/item?id=1", "Hacker News", "social"),
        ("https://lnkd.in/x", "LinkedIn", "social"),
        ("https://www.pinterest.co.uk/", "Pinterest", "social"),
        ("https://chatgpt.com/", "ChatGPT", "ai"),
        ("https://www.perplexity.ai/search", "Perplexity", "ai"),
        ("https://claude.ai/", "Claude", "ai"),
        ("https://copilot.microsoft.com/", "Copilot", "ai"),
        ("https://github.com/a/b", "GitHub", "referral"),
        ("https://de.wikipedia.org/wiki/X", "Wikipedia", "referral"),
        ("https://blog.example.org/post/", "blog.example.org", "referral"),
        ("https://m.example.org/", "example.org", "referral"),
        ("https://www.example.org:8443/a", "example.org", "referral"),
        ("https://user:secret@example.org/a", "example.org", "referral"),
        ("https://google.evil.example/", "google.evil.example", "referral"),
        ("https://notgoogle.com/", "notgoogle.com", "referral"),
        ("http://localhost:3000/", "localhost", "referral"),
        # a company's other products are no search and no social network
        ("https://accounts.google.com/", "Google Accounts", "referral"),
        ("https://maps.google.de/", "Google Maps", "referral"),
        ("https://unheard-of.google.com/", "unheard-of.google.com", "referral"),
        ("https://sports.yahoo.com/", "Yahoo! Sports", "referral"),
        ("https://disk.yandex.ru/", "Yandex Disk", "referral"),
        ("https://community.brave.com/", "Brave Community", "referral"),
        ("https://support.discord.com/", "Discord Support", "referral"),
        ("https://platform.openai.com/", "OpenAI", "referral"),
        ("https://id.pinterest.com/pin/1", "Pinterest", "social"),
        # and its search hosts are search, whatever stands before
        ("https://malaysia.search.yahoo.com/", "Yahoo!", "search"),
        ("https://ipv6.google.com/", "Google", "search"),
        # communities of companies that are none
        ("https://blog.naver.com/x", "Naver Blog", "social"),
        ("https://tieba.baidu.com/p/1", "Tieba", "social"),
        ("https://my.mail.ru/", "Moi Mir", "social"),
        # web mail by its first label
        ("https://mail.yahoo.co.uk/", "Yahoo! Mail", "email"),
        ("https://mail.yandex.by/", "Yandex Mail", "email"),
        ("https://webmail.example.org/", "webmail.example.org", "email"),
        ("https://lightmailer-bs.example.net/", "lightmailer-bs.example.net", "email"),
        ("https://deref-example.de/", "deref-example.de", "email"),
        ("https://mail.example/", "mail.example", "referral"),
        # ad networks
        ("https://googleads.g.doubleclick.net/", "Google", "campaign"),
        ("https://an.yandex.ru/", "Yandex Direct", "campaign"),
        ("https://cas.criteo.com/", "Criteo", "campaign"),
        ("https://chatglm.cn/", "ChatGLM", "ai"),
        ("https://feddit.uk/", "Lemmy", "social"),
        ("https://login.live.com/", "login.live.com", "referral"),
        ("https://api.whatsapp.com/", "WhatsApp", "social"),
        ("https://mail.gmx.net/", "GMX Mail", "email"),
        ("https://mail.icloud.com/", "iCloud Mail", "email"),
        ("https://posteo.de/", "Posteo", "email"),
        ("https://horde.example.org/", "horde.example.org", "email"),
        ("https://urldefense.proofpoint.com/v2/url", "Proofpoint", "email"),
        ("https://us1.campaign-archive.com/", "Mailchimp", "email"),
        ("https://clk.adcell.de/", "Adcell", "campaign"),
        ("https://metaso.cn/", "Metaso", "ai"),
        ("android-app://com.kakao.talk/", "KakaoTalk", "social"),
    ],
)
def test_referrers_have_a_name_and_a_channel(referrer: str, source: str, channel: str) -> None:
    found = source_of(referrer, "", HOST)
    assert (found.source, found.channel) == (source, channel)


@pytest.mark.parametrize(
    "referrer",
    [
        "https://shop.example/a",
        "https://www.shop.example/a",
        "http://SHOP.example:8000/",
        "about:blank",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "http://[::1",
        "http://",
        "https:///x",
        "not a link",
        "https://exa mple.org/",
        "https://<script>.org/",
        "https://a\x00b.org/",
        "https://www.semalt.com/x",
    ],
)
def test_own_pages_malformed_links_and_spam_are_no_source(referrer: str) -> None:
    found = source_of(referrer, "", "www.shop.example:8000")
    assert (found.source, found.channel, found.referrer) == ("", "direct", "")


def test_a_link_id_counts_only_where_no_referrer_says_more() -> None:
    assert source_of("https://blog.example.org/", "fbclid=1", HOST).source == "blog.example.org"
    assert source_of("", "utm_source=letter&fbclid=1", HOST).source == "letter"


OWN = (("intranet.example", "Intranet", "referral"), ("google.com", "Search", "search"))


def test_the_projects_own_sites_win_with_all_that_is_under_them() -> None:
    for host in ("intranet.example", "wiki.intranet.example"):
        found = source_of(f"https://{host}/x", "", HOST, OWN)
        assert (found.source, found.channel) == ("Intranet", "referral")
    assert source_of("https://www.google.com/", "", HOST, OWN).source == "Search"
    assert source_of("", "utm_source=intranet.example&utm_medium=", HOST, OWN).source == "Intranet"
    assert source_of("https://duckduckgo.com/", "", HOST, OWN).source == "DuckDuckGo"


@pytest.mark.parametrize("name", ["gclid", "fbclid", "FBCLID"])
def test_ids_of_clicks_are_no_part_of_the_campaign(name: str) -> None:
    assert campaign_of(f"{name}=IwAR0longAndDifferentEachTime") == f"{name.lower()}=1"


def test_the_referring_page_is_kept_without_query_fragment_and_password() -> None:
    assert source_of("https://user:pw@www.Example.org/a/b/?token=1#x", "", HOST).referrer == "example.org/a/b"
    assert source_of("https://example.org/", "", HOST).referrer == "example.org"
    assert len(source_of("https://example.org/" + "a" * 1_500, "", HOST).referrer) == 500
    assert source_of("https://example.org/a\u202eb", "", HOST).referrer == "example.org"


@pytest.mark.parametrize(
    ("query", "source", "channel"),
    [
        ("utm_source=newsletter&utm_medium=email", "E-mail", "email"),
        ("utm_source=spring-letter&utm_medium=E-Mail", "spring-letter", "email"),
        ("utm_source=google&utm_medium=cpc&utm_campaign=x", "Google", "campaign"),
        ("utm_source=facebook&utm_medium=paid_social", "Facebook", "campaign"),
        ("utm_source=facebook&utm_medium=social&utm_campaign=x", "Facebook", "social"),
        ("utm_source=fb", "Facebook", "social"),
        ("utm_source=chatgpt.com", "ChatGPT", "ai"),
        ("utm_source=Partner&utm_medium=banner", "Partner", "campaign"),
        ("utm_source=Partner", "Partner", "campaign"),
        ("utm_campaign=summer", "", "campaign"),
        ("gclid=Cj0", "Google", "campaign"),
        ("msclkid=1", "Bing", "campaign"),
        ("fbclid=1", "Facebook", "social"),
        ("ref=producthunt", "Product Hunt", "social"),
        ("ref=hn", "Hacker News", "social"),
        ("ref=https%3A%2F%2Fwww.github.com%2Fa", "GitHub", "referral"),
        ("ref=somewhere", "somewhere", "referral"),
        ("source=somewhere", "somewhere", "referral"),
        ("ref=a&source=b", "a", "referral"),
        ("utm_source=c&ref=a", "c", "campaign"),
        ("UTM_Source=fb", "Facebook", "social"),
        ("utm_source=&utm_source=fb", "Facebook", "social"),
        ("utm_source=facebook&utm_medium=cpp", "Facebook", "campaign"),
        ("utm_source=facebook&utm_medium=interstitial", "Facebook", "campaign"),
        ("utm_source=facebook&utm_medium=content-text", "Facebook", "campaign"),
        ("utm_source=x-letter&utm_medium=email_campaign", "x-letter", "email"),
        ("utm_source=x-letter&utm_medium=weekly-email", "x-letter", "email"),
        ("utm_source=weekly_newsletter", "weekly_newsletter", "email"),
        ("utm_source=Partner&utm_medium=organic", "Partner", "search"),
        ("utm_source=Partner&utm_medium=referral&utm_campaign=x", "Partner", "referral"),
        ("utm_source=google&utm_medium=link", "Google", "search"),
        ("utm_source=fbads", "Facebook", "campaign"),
        ("utm_source=google-ads", "Google", "campaign"),
        ("utm_source=adwords", "Google", "campaign"),
        ("ScCid=1", "Snapchat", "campaign"),
        ("epik=1", "Pinterest", "campaign"),
        ("ob_click_id=1", "Outbrain", "campaign"),
        ("gad_source=1", "Google", "campaign"),
        ("ref=nav", "", "direct"),
        ("source=all", "", "direct"),
        ("ref=nav&source=hn", "Hacker News", "social"),
        ("utm_source=&ref=a", "a", "referral"),
        # spellings of brands, and parts of a site
        ("utm_source=Linked_In", "LinkedIn", "social"),
        ("utm_source=tik-tok", "TikTok", "social"),
        ("utm_source=Product Hunt", "Product Hunt", "social"),
        ("utm_source=instagram_stories", "Instagram", "social"),
        ("utm_source=vk_ads", "Vkontakte", "campaign"),
        ("utm_source=Pinterest+Ads", "Pinterest", "campaign"),
        ("utm_source=google_my_business", "Google", "search"),
        ("utm_source=roads", "roads", "campaign"),
        ("utm_source=www.linkedin.com", "LinkedIn", "social"),
        # mediums of Google Analytics 4 and their spellings
        ("utm_source=facebook&utm_medium=organic_social&utm_campaign=x", "Facebook", "social"),
        ("utm_source=y&utm_medium=organic-search", "y", "search"),
        ("utm_source=facebook&utm_medium=native", "Facebook", "campaign"),
        ("utm_source=google&utm_medium=cross-network", "Google", "campaign"),
        ("utm_source=google&utm_medium=shopping", "Google", "campaign"),
        ("utm_source=y&utm_medium=emailing", "y", "email"),
        ("utm_source=y&utm_medium=mail", "y", "email"),
        ("utm_source=y&utm_medium=ai-chat", "y", "ai"),
        # what stands for nothing
        ("utm_source=(direct)&utm_medium=(none)", "", "direct"),
        ("utm_source=%7B%7Bplacement%7D%7D", "", "direct"),
        ("utm_source=undefined&ref=hn", "Hacker News", "social"),
        ("utm_source={network}_{device}", "", "direct"),
        ("utm_source=%7B%7Bsite%7D%7D%20-%20%7B%7Bplacement%7D%7D", "", "direct"),
        ("utm_source=__PLACEMENT__&ttclid=1", "TikTok", "campaign"),
        ("utm_source=${source}", "", "direct"),
        ("utm_source=$source|$medium", "", "direct"),
        ("utm_source=[source]&utm_medium=social", "", "social"),
        ("utm_source=a_{x}", "a_{x}", "campaign"),
        ("utm_source=__init__.py", "__init__.py", "campaign"),
        # links that were mangled on their way
        ("utm_source=letter?fbclid=IwAR0", "letter", "campaign"),
        ("utm_source=google?gclid=1", "Google", "campaign"),
        ("utm_source=google;utm_medium=cpc", "Google", "campaign"),
        ("utm_source=google&amp%3Butm_medium=cpc", "Google", "campaign"),
        ("utm_source=google%26utm_medium=cpc", "Google", "campaign"),
        ("a=b&amp;utm%5Fsource=google&utm%5fmedium=organic", "Google", "search"),
        ("utm_source=what?now", "what?now", "campaign"),
        ("utm_source=a%26b", "a&b", "campaign"),
        ("utm_source=a;b", "a;b", "campaign"),
        ("utm_source=facebook&utm_medium=(not%20set)", "Facebook", "social"),
        # places on the same site
        ("ref=footer_link", "", "direct"),
        ("ref=homepage-hero", "", "direct"),
        ("source=pwa", "", "direct"),
        ("ref=12345", "", "direct"),
        # ids of mailing services, networks and search engines
        ("mc_cid=1&mc_eid=2", "Mailchimp", "email"),
        ("_hsenc=1&utm_campaign=spring", "HubSpot", "email"),
        ("mkt_tok=1", "Marketo", "email"),
        ("mc_cid=1&utm_source=Partner", "Partner", "email"),
        ("ysclid=1", "Yandex", "search"),
        ("cjevent=1", "CJ", "campaign"),
        ("gad_campaignid=1", "Google", "campaign"),
        ("ranSiteID=1", "Rakuten", "campaign"),
        ("page=2&preref=x&resource=y&xutm_source=z", "", "direct"),
    ],
)
def test_tags_have_a_name_and_a_channel(query: str, source: str, channel: str) -> None:
    found = source_of("", query, HOST)
    assert (found.source, found.channel) == (source, channel)


def test_tags_win_over_the_referrer_which_is_still_kept() -> None:
    found = source_of("https://t.co/x", "utm_source=letter&utm_medium=email", HOST)
    assert (found.source, found.channel, found.referrer) == ("letter", "email", "t.co/x")


def test_all_five_tags_are_decoded_and_limited() -> None:
    query = "utm_source=a+b&utm_medium=%C3%BC&utm_campaign=" + "c" * 300 + "&utm_term=%00&utm_content=%FF&utm_source=z"
    found = source_of("", query, HOST)
    assert (found.utm_source, found.utm_medium) == ("a b", "ü")
    assert found.utm_campaign == "c" * 199 + "…"
    assert (found.utm_term, found.utm_content) == ("(invalid)", "(invalid)")


@pytest.mark.parametrize(
    "query", ["", "page=3", "utm_source=a&page=2&utm_medium=b%26c", "x?ref=a;b&UTM_Term=%E2%82%AC"]
)
def test_the_campaign_of_a_query_says_as_much_as_the_query(query: str) -> None:
    assert source_of("", campaign_of(query), HOST) == source_of("", query, HOST)
    assert "page" not in campaign_of(query)


def test_a_click_id_behind_a_second_question_mark_is_no_part_of_the_value() -> None:
    found = source_of("", "utm_source=letter&utm_campaign=may?fbclid=IwAR0longAndDifferentEachTime", HOST)
    assert (found.source, found.utm_campaign) == ("letter", "may")


def test_a_long_text_of_placeholders_takes_no_time() -> None:
    begin = process_time()
    for text in (
        "%" * 2_000,
        "{" * 1_000 + "}" * 999 + "x",
        "__" * 1_000,
        "$a" * 1_000,
        "%26" * 600 + "=",
        "{a}_" * 50 + "!",
    ):
        source_of("", f"utm_source={text}&utm_medium=%2525{text}", HOST)
    assert process_time() - begin < 0.5


@given(ANY_TEXT)
def test_the_campaign_of_any_query_says_as_much_as_the_query(query: str) -> None:
    query = f"ref={query}&utm_source={query}"
    assert source_of("", campaign_of(query), HOST) == source_of("", query, HOST)


@pytest.mark.parametrize(
    "host",
    [
        *("price.ru", "v.price.ru", "a.mozo.com.au", "lowermybills.com", "m.market.yandex.ru", "market.yandex.by"),
        *("www.idealo.de", "www.idealo.co.uk", "fr.kelkoo.be", "ceneo.pl", "www.skroutz.gr", "pricespy.co.uk"),
    ],
)
def test_price_comparison_is_an_ad_since_shops_pay_it_for_each_click(host: str) -> None:
    assert source_of(f"https://{host}/offers/1", "", HOST).channel == "campaign"


def test_telephone_directory_is_no_ad_since_its_entries_are_not_paid_by_the_click() -> None:
    assert source_of("https://www.whitepages.com.au/", "", HOST).channel == "referral"


@pytest.mark.parametrize(
    ("referrer", "source", "channel"),
    [
        ("https://web.archive.org/web/2026/https://www.example.com/a", "Internet Archive", "referral"),
        ("https://via.hypothes.is/http://www.example.com/", "via.hypothes.is", "referral"),
        ("https://www.google.com/amp/s/https://www.example.com/", "Google", "search"),
    ],
)
def test_an_address_within_the_path_of_a_referrer_is_no_source(referrer: str, source: str, channel: str) -> None:
    assert source_of(referrer, "", HOST)[:2] == (source, channel)


def test_spam_is_known_with_its_subdomains() -> None:
    assert is_spam("semalt.com")
    assert is_spam("59.SEMALT.com")
    assert not is_spam("notsemalt.com")


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_no_referrer_or_query_makes_it_raise_and_every_field_can_be_stored(text: str, query: str, host: str) -> None:
    for referrer in (text, "https://" + text, "https://example.org/" + text, "android-app://" + text):
        found = source_of(referrer, "utm_source=" + query + "&ref=" + quote(query, errors="replace"), host)
        assert not any(UNFIT.search(field) for field in found)
        assert all(len(field) <= 500 for field in found)


def test_the_list_of_sites_is_well_formed() -> None:
    path = files("codex_tracking.hits") / "data" / "sites.json"
    channels = json.loads(path.read_text("utf-8"))
    hosts = [host for names in channels.values() for site in names.values() for host in site]
    assert set(channels) == {"search", "ai", "social", "email", "campaign", "referral"}
    assert len(hosts) == len(set(hosts)) >= 300
    assert all(host == host.lower() or host.startswith("app:") for host in hosts)
