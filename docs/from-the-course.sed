# Changes a flow of the course so that it runs here: see from-the-course.md.
/^pluginDefaults:/,/^$/d
s/"public\.(.*_staging)"/"staging.\1"/
s/"public\./"trips./
s/^( *)type: io\.kestra\.plugin\.jdbc\.postgresql\..*/&\n\1url: "{{ globals.warehouse }}"\n\1username: "{{ secret('WAREHOUSE_USERNAME') }}"\n\1password: "{{ secret('WAREHOUSE_PASSWORD') }}"/
