"""Tables of browsers, systems and kinds of devices, by the words of user agents and client hints."""

from __future__ import annotations

import re

# --- browsers: the first that matches; in-app browsers and offshoots stand before what they imitate ---

BROWSERS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("Facebook", r"FBA[NV]/|FB_IAB|MetaIAB Facebook"),
        ("Instagram", r"\bInstagram\b"),
        ("Threads", r"\bBarcelona \d"),
        ("TikTok", r"musical_ly|BytedanceWebview|\btrill_|TikTok"),
        ("Snapchat", r"\bSnapchat/"),
        ("Pinterest", r"\[?Pinterest/"),
        ("LinkedIn", r"LinkedInApp"),
        ("X", r"Twitter(?:Android| for )"),
        ("WeChat", r"MicroMessenger/"),
        ("LINE", r"\bLine/"),
        ("KakaoTalk", r"KAKAOTALK"),
        ("Naver", r"NAVER\(|\bNAVER/"),
        ("Telegram", r"Telegram-Android/"),
        ("Slack", r"Slack_SSB/"),
        ("Discord", r"\bdiscord/\d"),
        ("Microsoft Teams", r"\bTeams/\d"),
        ("Google App", r"\bGSA/|\bGoogleApp/"),
        ("Baidu", r"baiduboxapp|BaiduHD|baidubrowser|BIDUBrowser"),
        ("Edge", r"\b(?:Edg|EdgA|EdgiOS|Edge)/"),
        ("Yandex Browser", r"YaBrowser/|YaSearchBrowser|YaApp"),
        ("Samsung Internet", r"SamsungBrowser/"),
        ("Vivaldi", r"Vivaldi/"),
        ("Brave", r"Brave(?: Chrome)?/"),
        ("DuckDuckGo", r"(?:DuckDuckGo|Ddg)/"),
        ("Opera Mini", r"Opera Mini/|OPiOS/"),
        ("Opera GX", r"OPX/|OPRGX/"),
        ("Opera", r"\b(?:OPR|Opera|OPT|OPRT|OMI)[/ ]"),
        ("UC Browser", r"UC ?Browser|UCWEB|U3/"),
        ("Quark", r"\bQuark(?:PC)?/"),
        ("VIDAA", r"\bOdin/|\bVIDAA/"),
        ("QQ Browser", r"M?QQBrowser/"),
        ("MIUI Browser", r"MiuiBrowser/"),
        ("Huawei Browser", r"HuaweiBrowser/|HBPC/"),
        ("HeyTap Browser", r"HeyTapBrowser/"),
        ("Vivo Browser", r"VivoBrowser/"),
        ("Oppo Browser", r"OppoBrowser/"),
        ("Realme Browser", r"RealmeBrowser/"),
        ("Whale", r"Whale/"),
        ("Coc Coc", r"coc_coc_browser/|CocCoc"),
        ("Silk", r"\bSilk/|Silk-Accelerated"),
        ("Puffin", r"Puffin/"),
        ("Maxthon", r"Maxthon|MxBrowser|MXiOS"),
        ("Sogou Explorer", r"MetaSr|SogouMobileBrowser|SogouMSE"),
        ("360 Browser", r"360SE|360EE|QihooBrowser|QHBrowser"),
        ("Sleipnir", r"Sleipnir/"),
        ("Falkon", r"Falkon/|QupZilla/"),
        ("Konqueror", r"Konqueror/"),
        ("Epiphany", r"Epiphany/"),
        ("Midori", r"Midori/"),
        ("Otter", r"Otter/"),
        ("qutebrowser", r"qutebrowser/"),
        ("Ecosia", r"Ecosia(?:/| ios| android)|EcosiaBrowser"),
        ("Avast Secure Browser", r"\bAvast/|AvastSecureBrowser/"),
        ("AVG Secure Browser", r"\bAVG/"),
        ("Iron", r"\bIron(?: Safari|/\d)"),
        ("Electron", r"Electron/"),
        ("KaiOS Browser", r"KAIOS/"),
        ("Firefox Focus", r"\bFocus/|Klar/"),
        ("SeaMonkey", r"SeaMonkey/|Iceape/"),
        ("Pale Moon", r"PaleMoon/"),
        ("Waterfox", r"Waterfox/"),
        ("Basilisk", r"Basilisk/"),
        ("K-Meleon", r"K-Meleon/"),
        ("Camino", r"Camino/"),
        ("LibreWolf", r"LibreWolf/"),
        ("Thunderbird", r"Thunderbird/"),
        ("Firefox", r"(?:Firefox|FxiOS|Fennec|Iceweasel|IceCat|Firebird|Minefield|Namoroka)\b"),
        ("Internet Explorer", r"MSIE |Trident/"),
        ("Lynx", r"^Lynx/"),
        ("Links", r"^E?Links\b"),
        ("w3m", r"w3m/"),
        ("NetSurf", r"NetSurf/"),
        ("Dillo", r"^Dillo/"),
        ("BlackBerry", r"BlackBerry|BB10|PlayBook"),
        ("Nokia Browser", r"NokiaBrowser/|BrowserNG/|S40OviBrowser|SymbianOS|SymbOS|Series60"),
        ("PlayStation Browser", r"P(?:layStation|LAYSTATION)"),
        ("Nintendo Browser", r"Nintendo"),
        ("NetFront", r"NetFront/|\bNX/"),
        ("webOS Browser", r"wOSBrowser/|webOSBrowser/|Web[0O]S|\bwebOS\b"),
        ("Android WebView", r"; wv\)|Version/4\.0 Chrome/"),
        ("Chrome", r"(?:Chrome|CriOS|CrMo|Chromium|HeadlessChrome)\b"),
        ("Android Browser", r"(?<!like )Android"),
        ("Safari", r"(?:Version/[\d.]+.*|\) )Safari/|Safari/\d+"),
        ("iOS WebView", r"\b(?:iPhone|iPad|iPod)\b"),
        ("WebKit", r"AppleWebKit/"),
        ("Netscape", r"Netscape|^Mozilla/4\.\d+ \["),
        ("Mozilla", r"Gecko/"),
    )
)

SYSTEMS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        # Consoles call themselves Windows, iPhone and SmartTV besides.
        ("Xbox", r"X(?:box|BOX)(?![a-z])"),
        ("PlayStation", r"P(?:layStation|LAYSTATION)"),
        ("Nintendo", r"Nintendo"),
        ("Windows Phone", r"Windows Phone|Windows Mobile|IEMobile|Windows CE"),
        ("Windows", r"Windows|Win(?:NT|9[58]|32|64)\b"),
        ("KaiOS", r"KAIOS"),
        ("HarmonyOS", r"OpenHarmony|HarmonyOS"),
        ("Tizen", r"Tizen"),
        ("Android", r"(?<!like )Andr[o0]id|\bAdr "),
        ("tvOS", r"Apple ?TV|tvOS"),
        ("iOS", r"\b(?:iPhone|iPad|iPod)\b"),
        ("ChromeOS", r"\bCrOS\b"),
        ("macOS", r"Mac ?OS|Macintosh|Mac_PowerPC|Darwin"),
        ("webOS", r"[Ww]eb[O0]S|hpwOS"),
        ("BlackBerry", r"BlackBerry|BB10|PlayBook|RIM Tablet"),
        ("Symbian", r"Symb(?:ian)?OS|Symbian|Series ?[46]0|S60"),
        ("Roku", r"\bRoku\b"),
        ("FreeBSD", r"FreeBSD"),
        ("OpenBSD", r"OpenBSD"),
        ("NetBSD", r"NetBSD"),
        ("Solaris", r"SunOS|Solaris"),
        ("Haiku", r"\bHaiku\b|BeOS"),
        ("AmigaOS", r"Amiga|MorphOS|AROS"),
        ("Linux", r"Linux|Ubuntu|\bX11\b"),
    )
)

TV = re.compile(
    r"\b(?:Smart-?TV|SMART-TV|TV Safari|HbbTV|Apple ?TV|AppleTV|GoogleTV|Google TV|Android TV|AndroidTV|BRAVIA|NetCast"
    r"|Roku|AFT[A-Z0-9]+|Chromecast|CrKey|DTV|Opera TV|OMI/|MiTV|MIBOX|SHIELD Android TV|Viera|VIDAA|Web0S|Philips ?TV"
    r"|NETTV|Vewd|TV Box|Smart TV)\b|webOS\.TV|Linux/SmartTV|Tizen.+ TV",
)
CONSOLE = re.compile(
    r"P(?:layStation|LAYSTATION)|X(?:box|BOX)(?![a-z])|Nintendo|\bPSP\b|Steam(?:Deck| GameOverlay)|OUYA|Valve Steam"
)
TABLET = re.compile(
    r"iPad|PlayBook|RIM Tablet|Tablet(?! PC)|\bKindle\b|\bKF[A-Z]{2,} |Nexus (?:7|9|10)\b|hpwOS|TouchPad|\bXoom\b"
    r"|\bSM-[TX]\d|\bGT-P\d|\bGT-N(?:51|80)"
)
MOBILE = re.compile(
    r"Mobi|iPhone|iPod|Windows (?:Phone|CE)|IEMobile|BlackBerry|BB10|Opera Mini|Symb(?:ian)?OS|Series ?[46]0|Nokia|MIDP"
    r"|KAIOS|\bwebOS/|Palm|DoCoMo|KDDI|SoftBank|J-PHONE|UCWEB|UP\.Browser|NetFront|SonyEricsson|SAMSUNG-|LGE?-|MOT-|J2ME"
    r"|Phone|Fennec|Maemo|Minimo|Obigo|Teleca|Dolfin|Bada"
)
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
