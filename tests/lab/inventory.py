"""What an Ansible inventory must know about a running lab (read by inventories/lab)."""

from __future__ import annotations

import typing as t

from tests.lab.aws import world
from tests.lab.kubernetes import issuer
from tests.lab.kubernetes.service import WHO_AM_I
from tests.lab.state import Lab

PATHS = ("health", "keys?tenant=7", "search?tenant=7", "audit?tenant=7", "imports?tenant=7")
FEW = ("recovery_check_requests", "recovery_check_concurrency")
CLUSTER_PATHS = ("/health", "/custody/keys?tenant=7", "/custody/sign?tenant=7", "/auth/session")
PAGE_ID = "kctbh9vrtdwd"


def database(server: dict[str, t.Any]) -> dict[str, t.Any]:
    passwords = server["passwords"]
    return {
        "runbooks_db_host": server["host"], "runbooks_db_port": server["port"], "runbooks_db_name": "custody_db",
        "runbooks_db_monitor_user": "custody_monitor", "runbooks_db_monitor_password": passwords["custody_monitor"],
        "runbooks_db_mitigation_user": "custody_mitigation",
        "runbooks_db_mitigation_password": passwords["custody_mitigation"],
        "runbooks_db_admin_user": "custody_admin", "runbooks_db_admin_password": passwords["custody_admin"],
        "runbooks_db_application_users": ["custody_app"], "runbooks_db_cores": 1,
        "runbooks_db_plan_user": "custody_planner", "runbooks_db_plan_password": passwords["custody_planner"],
    }  # fmt: skip


def cloud(part: dict[str, t.Any]) -> dict[str, t.Any]:
    return {
        "runbooks_depends_on": ["lab-db"], "runbooks_aws_region": world.REGION, "runbooks_aws_endpoint_url": part["url"],
        "runbooks_aws_access_key": world.READER, "runbooks_aws_secret_key": world.SECRET,
        "runbooks_aws_operator_access_key": world.OPERATOR, "runbooks_aws_operator_secret_key": world.SECRET,
        "runbooks_aws_account": world.ACCOUNT, "runbooks_aws_target_groups": [world.NAME],
    }  # fmt: skip


def channels(lab: Lab) -> dict[str, t.Any]:
    """The vendors' variables, for the parts that run; the channels stay off until asked for."""
    told: dict[str, t.Any] = {}
    if "pagerduty" in lab.parts():
        part = lab.part("pagerduty")
        told |= {
            "incident_pagerduty_url": part["url"], "incident_pagerduty_token": part["key"],
            "incident_pagerduty_from": "oncall@example.org", "incident_pagerduty_service": "Custody database",
        }  # fmt: skip
    if "statuspage" in lab.parts():
        part = lab.part("statuspage")
        told |= {
            "incident_status_page_url": part["url"], "incident_status_page_token": part["key"],
            "incident_status_page_page_id": PAGE_ID, "incident_status_page_components": ["Custody API"],
        }  # fmt: skip
    if "mail" in lab.parts():
        part = lab.part("mail")
        told |= {
            "incident_mail_host": "127.0.0.1", "incident_mail_port": part["port"], "incident_mail_secure": "never",
            "incident_mail_username": part["user"], "incident_mail_password": part["key"],
            "incident_mail_from": "runbooks@example.org", "incident_mail_to": ["engineering@example.org"],
        }  # fmt: skip
    if "datadog" in lab.parts():
        part = lab.part("datadog")
        told |= {
            "runbooks_datadog_url": part["url"], "runbooks_datadog_api_key": part["key"],
            "runbooks_datadog_application_key": part["application_key"],
        }  # fmt: skip
    return told


BULK_SIGN = {"configmap": "api-config", "key": "FEATURE_BULK_SIGN", "off_value": "false"}


POOL = {"configmap": "api-config", "key": "DB_POOL_MAX", "connections_max": 60}


def inventory(lab: Lab) -> dict[str, t.Any]:
    """The lab as a dynamic inventory: one database, one edge, and the variables that point at them."""
    hosts: dict[str, dict[str, t.Any]] = {}
    groups: dict[str, dict[str, t.Any]] = {}
    if "postgres" in lab.parts():
        hosts["lab-db"] = database(lab.part("postgres"))
        groups["role_database"] = {"hosts": ["lab-db"]}
    if "aws" in lab.parts():
        hosts["lab-cloud"] = cloud(lab.part("aws"))
        groups["role_cloud"] = {"hosts": ["lab-cloud"]}
        urls = [f"{lab.part('aws')['edge']}/{path}" for path in PATHS]
        hosts["lab-public"] = {
            "runbooks_health_urls": urls, "runbooks_depends_on": ["lab-cloud"], **dict.fromkeys(FEW, 5),
            "runbooks_ca_path": str(lab.file("authority.pem")),
        }  # fmt: skip
        groups["role_edge"] = groups["role_tls"] = {"hosts": ["lab-public"]}
    elif "app" in lab.parts():
        url = lab.part("app")["url"]
        # The lab has one small machine for everything, so it is measured with few requests at once.
        hosts["lab-api"] = {"runbooks_health_urls": [f"{url}/{path}" for path in PATHS], **dict.fromkeys(FEW, 5)}
        groups["role_edge"] = {"hosts": ["lab-api"]}
    if "service" in lab.parts():
        part, url = lab.part("kubernetes"), lab.part("service")["url"]
        hosts["lab-cluster"] = {
            "runbooks_depends_on": ["lab-db"],
            "runbooks_k8s_kubeconfig": part["accounts"]["reader"], "runbooks_k8s_admin_kubeconfig": part["accounts"]["operator"],
            "runbooks_k8s_cluster": "lab", "runbooks_k8s_namespace": "custody", "runbooks_k8s_services": ["api-server"],
            "runbooks_k8s_auth_secret": "api-secrets", "runbooks_k8s_auth_key": "JWT_SECRET",
            "runbooks_k8s_auth_generate": True, "runbooks_k8s_auth_previous_key": "JWT_SECRET_PREVIOUS",
            "runbooks_k8s_auth_lifetime_seconds": 5, "runbooks_k8s_features": [BULK_SIGN], "runbooks_k8s_pool": POOL,
        }  # fmt: skip
        groups["role_cluster"] = {"hosts": ["lab-cluster"]}
        urls = [f"{url}{path}" for path in CLUSTER_PATHS]
        hosts["lab-custody"] = {"runbooks_health_urls": urls, "runbooks_depends_on": ["lab-cluster"], **dict.fromkeys(FEW, 5)}
        groups.setdefault("role_edge", {"hosts": []})["hosts"].append("lab-custody")
        hosts["lab-auth"] = {"runbooks_auth_url": f"{url}{WHO_AM_I}", "runbooks_auth_issuer": url,
                             "runbooks_auth_token": issuer.token(lab, url), "runbooks_depends_on": ["lab-cluster"]}  # fmt: skip
        groups["role_auth"] = {"hosts": ["lab-auth"]}
    return {"_meta": {"hostvars": hosts}, "all": {"vars": channels(lab)}, **groups}
