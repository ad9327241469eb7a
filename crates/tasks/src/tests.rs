mod supervision;
