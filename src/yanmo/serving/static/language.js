"use strict";

// In which language a page of the service speaks; CHINESE, the Chinese of its English texts, stands in zh.js.
const page = { language: navigator.language.startsWith("zh") ? "zh" : "en" };

// An English text in the language of the page, with values where it has {names}.
function tell(text, values = {}) {
  const told = page.language === "zh" ? CHINESE[text] ?? text : text;
  return told.replaceAll(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

function changeLanguage() {
  page.language = page.language === "zh" ? "en" : "zh";
}

function showLanguage() {
  const isChinese = page.language === "zh", button = document.getElementById("language");
  document.documentElement.lang = isChinese ? "zh-CN" : "en";
  button.textContent = isChinese ? "English" : "中文";
  button.lang = isChinese ? "en" : "zh";
}
