// Ansible managed by wssgate.nginx; changes made here are lost
(jwt.js)
