"""Tables of browsers, systems and kinds of devices, by the words of user agents and client hints."""

from __future__ import annotations

import re
from typing import NamedTuple


class Sign(NamedTuple):
    """A name, and its signs in a user agent."""

    name: str
    texts: tuple[str, ...]
    """At least one of them is in the agent. Plain text is found ten times faster than a pattern finds it."""
    pattern: re.Pattern[str] | None
    """A pattern that has to match as well; None if the text alone tells."""


def _sign(name: str, texts: str, pattern: str = "") -> Sign:
    return Sign(name, tuple(texts.split("|")), re.compile(pattern) if pattern else None)


# --- browsers: the first that matches; in-app browsers and offshoots stand before what they imitate ---

# Plain texts are looked for first, and a pattern only behind a text that alone says too little.
BROWSERS = (
    _sign("Facebook", "FBAN/|FBAV/|FB_IAB|MetaIAB Facebook"),
    _sign("Instagram", "Instagram"),
    _sign("Threads", "Barcelona ", r"Barcelona \d"),
    _sign("TikTok", "musical_ly|BytedanceWebview| trill_|TikTok"),
    _sign("Snapchat", "Snapchat/"),
    _sign("Pinterest", "Pinterest/|Pinterest for "),
    _sign("LinkedIn", "LinkedInApp"),
    _sign("X", "TwitterAndroid|Twitter for "),
    _sign("WeChat", "MicroMessenger/"),
    _sign("LINE", " Line/"),
    _sign("WhatsApp", " WhatsApp/"),
    _sign("Weibo", "Weibo (|__weibo__"),
    _sign("Alipay", "AlipayClient/"),
    _sign("QQ", " QQ/"),
    _sign("DingTalk", "DingTalk"),
    _sign("Zalo", " Zalo"),
    _sign("Viber", " Viber/"),
    _sign("VK", "VKAndroidApp/|com.vk.vkclient|VKClient"),
    _sign("Reddit", " Reddit/"),
    _sign("Bluesky", " Bluesky/"),
    _sign("Quora", " Quora "),
    _sign("Flipboard", " Flipboard/"),
    _sign("Nextdoor", " Nextdoor/"),
    _sign("Bing", "BingSapphire/|BingSapphire|bingweb/"),
    _sign("Outlook", "Outlook-iOS|Outlook-Android"),
    _sign("Daum", "DaumApps/"),
    _sign("ChatGPT", " ChatGPT/"),
    _sign("Perplexity", " Perplexity/"),
    _sign("KakaoTalk", "KAKAOTALK"),
    _sign("Naver", "NAVER(|NAVER/"),
    _sign("Telegram", "Telegram-Android/"),
    _sign("Slack", "Slack_SSB/|Slack/"),
    _sign("Discord", "discord/|Discord/", r"[dD]iscord/\d"),
    _sign("Microsoft Teams", "Teams/", r"Teams/\d"),
    _sign("Google App", "GSA/|GoogleApp/"),
    _sign("Baidu", "baiduboxapp|BaiduHD|baidubrowser|BIDUBrowser"),
    _sign("Edge", "Edg/|EdgA/|EdgiOS/|Edge/"),
    _sign("Yandex Browser", "YaBrowser/|YaSearchBrowser|YaApp"),
    _sign("Samsung Internet", "SamsungBrowser/"),
    _sign("Vivaldi", "Vivaldi/"),
    _sign("Brave", "Brave/|Brave Chrome/"),
    _sign("DuckDuckGo", "DuckDuckGo/|Ddg/"),
    _sign("Opera Mini", "Opera Mini/|OPiOS/"),
    _sign("Opera GX", "OPX/|OPRGX/"),
    _sign("Opera", "OPR/|OPR |Opera/|Opera |OPT/|OPRT/|OMI/"),
    _sign("UC Browser", "UCBrowser|UC Browser|UCWEB|U3/"),
    _sign("Quark", "Quark/|QuarkPC/"),
    _sign("VIDAA", "Odin/|VIDAA/"),
    _sign("QQ Browser", "QQBrowser/"),
    _sign("MIUI Browser", "MiuiBrowser/"),
    _sign("Huawei Browser", "HuaweiBrowser/|HBPC/"),
    _sign("HeyTap Browser", "HeyTapBrowser/"),
    _sign("Vivo Browser", "VivoBrowser/"),
    _sign("Oppo Browser", "OppoBrowser/"),
    _sign("Realme Browser", "RealmeBrowser/"),
    _sign("Mint Browser", "Mint Browser/"),
    _sign("Phoenix Browser", " PHX/| Phoenix/"),
    _sign("Aloha", "AlohaBrowser/| Aloha/"),
    _sign("Oculus Browser", "OculusBrowser/"),
    _sign("Pico Browser", "PicoBrowser/"),
    _sign("Tesla", " Tesla/"),
    _sign("Whale", "Whale/"),
    _sign("Coc Coc", "coc_coc_browser/|CocCoc"),
    _sign("Silk", "Silk/|Silk-Accelerated"),
    _sign("Puffin", "Puffin/"),
    _sign("Maxthon", "Maxthon|MxBrowser|MXiOS"),
    _sign("Sogou Explorer", "MetaSr|SogouMobileBrowser|SogouMSE"),
    _sign("360 Browser", "360SE|360EE|QihooBrowser|QHBrowser"),
    _sign("Sleipnir", "Sleipnir/"),
    _sign("Falkon", "Falkon/|QupZilla/"),
    _sign("Konqueror", "Konqueror/"),
    _sign("Epiphany", "Epiphany/"),
    _sign("Midori", "Midori/"),
    _sign("Otter", "Otter/"),
    _sign("qutebrowser", "qutebrowser/"),
    _sign("Ecosia", "Ecosia/|Ecosia ios|Ecosia android|EcosiaBrowser"),
    _sign("Avast Secure Browser", "Avast/|AvastSecureBrowser/"),
    _sign("AVG Secure Browser", " AVG/"),
    _sign("Iron", "Iron", r"Iron(?: Safari|/\d)"),
    _sign("Electron", "Electron/"),
    _sign("KaiOS Browser", "KAIOS/"),
    _sign("Firefox Focus", "Focus/|Klar/"),
    _sign("SeaMonkey", "SeaMonkey/|Iceape/"),
    _sign("Pale Moon", "PaleMoon/"),
    _sign("Waterfox", "Waterfox/"),
    _sign("Basilisk", "Basilisk/"),
    _sign("K-Meleon", "K-Meleon/"),
    _sign("Camino", "Camino/"),
    _sign("LibreWolf", "LibreWolf/"),
    _sign("Thunderbird", "Thunderbird/"),
    _sign("Firefox", "Firefox|FxiOS|Fennec|Iceweasel|IceCat|Firebird|Minefield|Namoroka"),
    _sign("Internet Explorer", "MSIE |Trident/"),
    _sign("Lynx", "Lynx/", r"^Lynx/"),
    _sign("Links", "Links", r"^E?Links\b"),
    _sign("w3m", "w3m/"),
    _sign("NetSurf", "NetSurf/"),
    _sign("Dillo", "Dillo/", r"^Dillo/"),
    _sign("BlackBerry", "BlackBerry|BB10|PlayBook"),
    _sign("Nokia Browser", "NokiaBrowser/|BrowserNG/|S40OviBrowser|SymbianOS|SymbOS|Series60"),
    _sign("PlayStation Browser", "PlayStation|PLAYSTATION"),
    _sign("Nintendo Browser", "Nintendo"),
    _sign("NetFront", "NetFront/| NX/"),
    _sign("webOS Browser", "wOSBrowser/|webOSBrowser/|WebOS|Web0S|webOS"),
    _sign("Android WebView", "; wv)|Version/4.0 Chrome/"),
    _sign("Chrome", "Chrome/|Chrome |CriOS|CrMo/|Chromium"),
    _sign("Android Browser", "Android", r"Android(?<!like Android)"),
    _sign("Safari", "Safari/"),
    _sign("iOS WebView", "iPhone|iPad|iPod"),
    _sign("WebKit", "AppleWebKit/"),
    _sign("Netscape", "Netscape|Mozilla/4.", r"Netscape|^Mozilla/4\.\d+ \["),
    _sign("Mozilla", "Gecko/"),
)

SYSTEMS = (
    # Consoles call themselves Windows, iPhone and SmartTV besides.
    _sign("visionOS", "Apple Vision"),
    _sign("Xbox", "Xbox|XBOX", r"X(?:box|BOX)(?![a-z])"),
    _sign("PlayStation", "PlayStation|PLAYSTATION"),
    _sign("Nintendo", "Nintendo"),
    _sign("Windows Phone", "Windows Phone|Windows Mobile|IEMobile|Windows CE"),
    _sign("Windows", "Windows|WinNT|Win95|Win98|Win32|Win64"),
    _sign("KaiOS", "KAIOS"),
    _sign("HarmonyOS", "OpenHarmony|HarmonyOS"),
    _sign("Tizen", "Tizen"),
    _sign("Android", "Andr0id| Adr "),
    _sign("Android", "Android", r"Android(?<!like Android)"),
    _sign("tvOS", "AppleTV|Apple TV|tvOS"),
    _sign("iOS", "iPhone|iPad|iPod"),
    _sign("ChromeOS", "CrOS "),
    _sign("macOS", "Mac OS|MacOS|Macintosh|Mac_PowerPC|Darwin"),
    _sign("webOS", "WebOS|webOS|Web0S|web0S|hpwOS"),
    _sign("BlackBerry", "BlackBerry|BB10|PlayBook|RIM Tablet"),
    _sign("Symbian", "SymbOS|Symbian|Series40|Series60|Series 40|Series 60|S60"),
    _sign("Roku", "Roku"),
    _sign("FreeBSD", "FreeBSD"),
    _sign("OpenBSD", "OpenBSD"),
    _sign("NetBSD", "NetBSD"),
    _sign("Solaris", "SunOS|Solaris"),
    _sign("Haiku", "Haiku|BeOS"),
    _sign("AmigaOS", "Amiga|MorphOS|AROS"),
    _sign("Linux", "Linux|Ubuntu|X11"),
)

KINDS = (
    # Glasses and cars, whose agents are those of a computer or a tablet otherwise.
    _sign("other", "OculusBrowser/|PicoBrowser/| VR Safari/|Apple Vision| Tesla/|Polestar"),
    _sign("console", "PlayStation|PLAYSTATION|Nintendo|SteamDeck|Steam GameOverlay|OUYA|Valve Steam"),
    _sign("console", "Xbox|XBOX", r"X(?:box|BOX)(?![a-z])"),
    _sign("console", "PSP", r"\bPSP\b"),
    _sign(
        "tv",
        "SmartTV|Smart-TV|Smart TV|SMART-TV|TV Safari|HbbTV|AppleTV|Apple TV|GoogleTV|Google TV|Android TV|AndroidTV"
        "|BRAVIA|NetCast|Roku|Chromecast|CrKey|Opera TV|OMI/|MiTV|MIBOX|Viera|VIDAA|Web0S|PhilipsTV|Philips TV|NETTV"
        "|Vewd|TV Box|webOS.TV|webOSTV",
    ),
    _sign("tv", "AFT", r"AFT(?<=\bAFT)[A-Z0-9]+\b"),
    _sign("tv", "DTV", r"DTV(?<=\bDTV)\b"),
    _sign("tv", "Tizen", r"Tizen.{1,150} TV"),
    _sign("tablet", "iPad|PlayBook|RIM Tablet|hpwOS|TouchPad|Xoom|Kindle"),
    _sign("tablet", "Tablet", r"Tablet(?! PC)"),
    _sign("tablet", "Nexus ", r"Nexus (?:7|9|10)\b"),
    _sign("tablet", "SM-", r"SM-[TX]\d"),
    _sign("tablet", "GT-", r"GT-(?:P\d|N51|N80)"),
    # Amazon's: KFTT, KFAPWI, ...
    _sign("tablet", "KF", r"KF(?<=\bKF)[A-Z]{2,} "),
    _sign(
        "mobile",
        "Mobi|iPhone|iPod|Windows CE|BlackBerry|BB10|Opera Mini|SymbOS|SymbianOS|Series40|Series60|Series 40|Series 60"
        "|Nokia|MIDP|KAIOS|webOS/|Palm|DoCoMo|KDDI|SoftBank|J-PHONE|UCWEB|UP.Browser|NetFront|SonyEricsson|SAMSUNG-|LG-"
        "|LGE-|MOT-|J2ME|Phone|Fennec|Maemo|Minimo|Obigo|Teleca|Dolfin|Bada",
    ),
)
"""Kinds of devices, the first that matches; consoles have a television's words, and tablets a telephone's."""

HARMONY_PC = re.compile(r"\b(?:PC|2in1); ?OpenHarmony")
DESKTOPS = frozenset(
    {"Windows", "macOS", "Linux", "ChromeOS", "FreeBSD", "OpenBSD", "NetBSD", "Solaris", "Haiku", "AmigaOS"}
)

# --- client hints: what Chromium says in plain words ---

BRANDS = {
    "Brave": "Brave",
    "Brave Browser": "Brave",
    "Avira Secure Browser": "Avira Secure Browser",
    "Oculus Browser": "Oculus Browser",
    "Meta Quest Browser": "Oculus Browser",
    "Opera Crypto": "Opera Crypto",
    "Opera Air": "Opera Air",
    "Opera One": "Opera",
    "Microsoft Edge": "Edge",
    "Microsoft Edge WebView2": "Edge WebView",
    "Opera": "Opera",
    "Opera GX": "Opera GX",
    "OperaMobile": "Opera",
    "Opera Mobile": "Opera",
    "Opera Mini": "Opera Mini",
    "OperaMini": "Opera Mini",
    "Samsung Internet": "Samsung Internet",
    "Yandex": "Yandex Browser",
    "YaBrowser": "Yandex Browser",
    "Vivaldi": "Vivaldi",
    "DuckDuckGo": "DuckDuckGo",
    "Whale": "Whale",
    "CocCoc": "Coc Coc",
    "Avast Secure Browser": "Avast Secure Browser",
    "AVG Secure Browser": "AVG Secure Browser",
    "HuaweiBrowser": "Huawei Browser",
    "HeyTapBrowser": "HeyTap Browser",
    "MiuiBrowser": "MIUI Browser",
    "Ecosia": "Ecosia",
    "Arc": "Arc",
    "Sidekick": "Sidekick",
    "Wavebox": "Wavebox",
    "Edge Side Panel": "Edge",
    "Perplexity": "Comet",
    "Comet": "Comet",
    "ChatGPT Atlas": "ChatGPT Atlas",
    "Dia": "Dia",
    "Naver Whale": "Whale",
    "Ghostery": "Ghostery",
    "Helium": "Helium",
    "Thorium": "Thorium",
    "Quark": "Quark",
    "QQBrowser": "QQ Browser",
    "UCBrowser": "UC Browser",
    "360 Browser": "360 Browser",
    "Maxthon": "Maxthon",
    "Kiwi": "Kiwi",
    "Aloha": "Aloha",
    "Amazon Silk": "Silk",
    "Silk": "Silk",
    "Puffin": "Puffin",
    "Iron": "Iron",
    "Slimjet": "Slimjet",
    "SigmaOS": "SigmaOS",
    "Epic Privacy Browser": "Epic",
    "Meta Horizon Browser": "Oculus Browser",
    "Pico Browser": "Pico Browser",
    "Norton Private Browser": "Norton Private Browser",
    "CCleaner Browser": "CCleaner Browser",
}
"""Brands that the user agent may hide. ``Google Chrome`` is not here: in-app browsers send it as well."""

PLATFORMS = {
    "Windows": "Windows",
    "macOS": "macOS",
    "Mac OS X": "macOS",
    "Android": "Android",
    "Linux": "Linux",
    "Chrome OS": "ChromeOS",
    "Chromium OS": "ChromeOS",
    "iOS": "iOS",
}
