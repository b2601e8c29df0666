for (const table of document.querySelectorAll("table.sortable")) sortable(table);
startFrontier();
startCurves();
startCodes();
startComparison();
